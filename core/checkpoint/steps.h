// The folders inside of a folder of checkpoints: their names, and what becomes of old ones.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace gamut::checkpoint {

// step_000123; more digits where they are needed.
std::string step_name(int64_t step);
// The step of such a name; none for anything else.
std::optional<int64_t> parse_step_name(const std::string& name);

// Held while a process changes a folder of checkpoints, so that a second one says so instead of
// removing the first one's files. Given back by the system when the process dies.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& directory);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_ = -1;
};

// A step being written: step_N.tmp. Destroyed without commit(), it is removed.
class StagingFolder {
 public:
  StagingFolder(const std::filesystem::path& directory, int64_t step);
  ~StagingFolder();
  StagingFolder(const StagingFolder&) = delete;
  StagingFolder& operator=(const StagingFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Gives it its final name, for good.
  void commit(const std::filesystem::path& final_path);

 private:
  std::filesystem::path path_;
  bool committed_ = false;
};

// Renames a step out of the way: step_N.<why>-1, or the next number that is free.
std::filesystem::path set_aside(const std::filesystem::path& step_folder, const std::string& why);

// Removes a step: first its name, so that a death in between leaves no half step, then its files.
void remove_step(const std::filesystem::path& step_folder);

// Removes what killed saves and removals left behind. Returns what could not be removed, in words.
std::vector<std::string> sweep(const std::filesystem::path& directory);

}  // namespace gamut::checkpoint
