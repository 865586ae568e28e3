// What `gamut run` was asked for, resolved to paths: which script, which folder, what to resume.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace gamut::cli {

// The command line as given.
struct RunRequest {
  std::string target;                  // a script, or a folder that holds train.lua
  std::vector<std::string> overrides;  // key=value
  std::vector<std::string> config_files;
  std::vector<std::string> accept;  // checks of a resume that the user waives by name
  std::string run_dir;
  std::optional<std::string> resume;  // "", "latest", a run folder or one of its checkpoints
  bool dry_run = false;
};

struct RunSettings {
  std::filesystem::path script;
  std::string study;  // names the folder below runs/
  std::vector<std::string> config_files;
  std::vector<std::string> overrides;
  std::vector<std::string> accept;
  std::filesystem::path runs_root;
  std::optional<std::filesystem::path> run_dir;
  std::optional<std::filesystem::path> resume;  // a run folder
  std::optional<int64_t> resume_step;           // of that checkpoint; none: the newest
  bool dry_run = false;
};

// Throws gamut::Error where the script, the run or the checkpoint is not there.
RunSettings resolve(const RunRequest& request);

}  // namespace gamut::cli
