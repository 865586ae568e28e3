// What a preparation is made of: units of work that a recipe lists, the work that turns one into
// tokens, and the sink that cuts shards from them. core/data/prepare/prepare.h runs it.
//
// A new kind of data is a UnitWork. Text is one (text_work.h): a unit is then a range of documents
// of a file, and its parts are what went to either side of the split.
#pragma once

#include <gamut/error.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gamut::data {

// One piece of work: an audio file, or a range of documents of a file. Small enough that its tokens
// fit in memory many times over, and that losing one unfinished to a kill does not hurt.
struct Unit {
  std::string name;            // unique in the preparation, and the same at every start
  std::filesystem::path path;  // the file that it is read from
  std::string split;           // "train", "val", "test"; may be "" where the work decides
  std::string facts = "{}";    // a JSON object: what the recipe says beside, such as a transcript
  // Of the file; the pipeline fills them in where they are 0. A unit whose file or facts changed
  // is done again on resuming.
  uint64_t bytes = 0;
  int64_t modified_ns = 0;
  uint64_t weight = 0;  // share of the progress; the pipeline takes `bytes` where it is 0
};

// What a unit gave to one split.
struct Part {
  std::string split;
  std::vector<uint16_t> tokens;  // ids of a text, or codes [frames, codebooks] frame by frame
  nlohmann::json facts;          // what the shard and the counts need to know of it
};

struct UnitResult {
  std::string skipped;      // why nothing came of it, as a sentence; "" when something did
  std::vector<Part> parts;  // in the order in which they go to the shards
  nlohmann::json source;    // of the file, for the manifest: {"sha256": ...}
  double seconds = 0;       // of audio, for the rate that is shown; 0 for text
  static UnitResult skip(std::string reason) { return {std::move(reason), {}, {}, 0}; }
};

// Thrown out of a unit when the preparation is to end: nothing of it is kept.
class Interrupted : public Error {
 public:
  Interrupted() : Error("interrupted") {}
};

// What a unit at work shares with the thread that leads.
class UnitContext {
 public:
  explicit UnitContext(const std::atomic<bool>& stop) : stop_(stop) {}
  // To be called between pieces of work of at most a few seconds; throws Interrupted.
  void check() const {
    if (stop_.load(std::memory_order_relaxed)) throw Interrupted();
  }
  // Tells how much of the unit is done, 0 to 1.
  void advance(double share) { share_.store(share, std::memory_order_relaxed); }
  double share() const { return share_.load(std::memory_order_relaxed); }

 private:
  const std::atomic<bool>& stop_;
  std::atomic<double> share_{0};
};

// Cuts shards from parts, which come in the order of the units.
class ShardSink {
 public:
  virtual ~ShardSink() = default;
  virtual void add(const Unit& unit, Part part) = 0;
  // Completes the shards. Returns what the manifest says of each split that has any: counts, and
  // `files`, the names of the shards in order.
  virtual nlohmann::json finish() = 0;
};

class UnitWork {
 public:
  virtual ~UnitWork() = default;
  // All that decides the tokens beside the units: tokenizer, options, resampler. Two descriptions
  // that differ are two preparations. Part of the manifest.
  virtual nlohmann::json description() const = 0;
  // Runs in several threads at once, with one OpenMP thread each. The same unit gives the same
  // result at any time. What cannot be read is an exception or `skipped`: the unit is listed with
  // the reason, and the others go on.
  virtual UnitResult run(const Unit& unit, UnitContext& context) const = 0;
  // What else the manifest says, given what the sink's finish() returned.
  virtual nlohmann::json summary(const nlohmann::json& /*splits*/) const {
    return nlohmann::json::object();
  }
  // `folder` is empty.
  virtual std::unique_ptr<ShardSink> new_sink(const std::filesystem::path& folder) const = 0;
};

}  // namespace gamut::data
