// From raw data to a folder of token shards: units on worker threads, each finished one kept in a
// journal, shards cut from the journal in the order of the units when all are done.
//
// The folder holds, while it is made, only `.prepare/` (journal, lock, shards to be); and then the
// shards, sources.jsonl (a line a unit: file, sha256, counts), skipped.jsonl (a line a unit that
// gave nothing, with the reason) and, last of all, manifest.json. The bytes of all of them depend
// on the units and on UnitWork::description() alone: not on the number of workers, nor on how often
// the process was killed on the way.
#pragma once

#include <functional>

#include "data/prepare/unit.h"

namespace gamut::data {

struct PrepareProgress {
  int64_t units = 0, units_done = 0, units_skipped = 0;
  double weight = 0, weight_done = 0;  // of units done and of those under way
  double seconds = 0;                  // of audio that this process made tokens of
  int64_t tokens = 0;                  // that this process made
};

struct PrepareOptions {
  std::filesystem::path out;
  int workers = 1;
  int threads = 1;             // OpenMP threads a worker
  double max_skipped = 0.5;    // share of the units; more is an error
  bool retry_skipped = false;  // units that an earlier process skipped are tried again
  // What was asked for, for the manifest: recipe, options. Decides, with the work's description,
  // whether a folder that was begun can be gone on with.
  nlohmann::json request;
  // Called about ten times a second by the calling thread, to show how far it is.
  std::function<void(const PrepareProgress&)> progress;
  // Asked as often whether to end: what is finished is kept, and Interrupted is thrown.
  std::function<bool()> stop;
  // Sentences for the user that stop nothing.
  std::function<void(const std::string&)> note;
};

struct Prepared {
  nlohmann::json manifest;
  bool already = false;  // the folder was complete, and nothing was done
};

// The manifest of a folder that is complete, or null. Throws gamut::Error where it is damaged.
nlohmann::json read_manifest(const std::filesystem::path& out);

// Throws gamut::Error: a folder that holds something else, or was begun or made with other options
// (which are named), another process at work in it, a unit's name twice, more units skipped than
// allowed, a full disk. In all of these the same call goes on where it ended, once the reason is
// gone.
Prepared prepare(std::vector<Unit> units, const UnitWork& work, const PrepareOptions& options);

}  // namespace gamut::data
