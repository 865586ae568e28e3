// Checkpoints of a run: step folders that are complete or not there, saved and found again after
// any kind of death. README.md of this folder has the format and the promises.
#pragma once

#include <gamut/module.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/manifest.h"
#include "checkpoint/safetensors.h"

namespace gamut::checkpoint {

struct SaveRequest {
  std::filesystem::path directory;            // made if it is not there
  int64_t step = 0;                           // >= 0
  std::map<std::string, NamedTensors> files;  // "model" becomes model.safetensors
  nlohmann::json state;                       // state.json
  // How many steps to keep, this one included, milestones not counted: older ones are removed once
  // this one stands. 0 keeps all.
  int64_t keep = 0;
  bool milestone = false;  // is never removed
};

struct Saved {
  std::filesystem::path path;         // the step's folder
  std::vector<std::string> warnings;  // old steps or leftovers that could not be removed
};

// Saves one step. Tensors are written from where they are; only those on another device or strided
// are copied, one at a time. Throws gamut::Error, with the steps saved before untouched, when
// anything fails, when another process is saving there, and when a good checkpoint of this step
// stands there already. A damaged one is set aside.
Saved save_checkpoint(const SaveRequest& request);

struct CheckpointInfo {
  int64_t step = 0;
  std::filesystem::path path;
  std::string damage;  // "" or why it is no complete checkpoint, as far as that shows at a glance
  bool milestone = false;
  uint64_t bytes = 0;
};

// The steps of a folder of checkpoints, in ascending order; none where there is no such folder.
std::vector<CheckpointInfo> list_checkpoints(const std::filesystem::path& directory);

struct LoadRequest {
  // A step's folder, a folder of steps, or a run's folder with `checkpoints/` in it.
  std::filesystem::path path;
  std::optional<int64_t> step = {};  // of a folder of steps; none: the newest that is good
  Verify verify = Verify::fast;
  Loading loading = Loading::map;
};

struct Checkpoint {
  int64_t step = 0;
  std::filesystem::path path;
  std::map<std::string, NamedTensors> files;
  nlohmann::json state;
  Manifest manifest;
  std::vector<std::string> notes;  // newer steps that were passed over, and why
};

// Loads a step that passes every check. A step that was asked for by name is loaded or is an error.
// Otherwise damaged steps are passed over, newest first, with a note for each. Throws gamut::Error
// that says what there is when nothing can be loaded.
Checkpoint load_checkpoint(const LoadRequest& request);

// For a run that goes on from `step`: removes what killed saves left, and renames newer steps, if
// it is not the newest, to step_N.superseded-K, where nothing looks for them and nothing removes
// them. Returns their paths.
std::vector<std::filesystem::path> supersede_after(const std::filesystem::path& directory,
                                                   int64_t step);

}  // namespace gamut::checkpoint
