// The folder that a preparation makes: who works in it, what it holds before it is complete.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "files/lock.h"

namespace gamut::data {

// A folder with `.prepare` in it, locked for this process. The lock ends with the process, however
// that ends.
class PrepareFolder {
 public:
  // Creates the folder where it is not there. Throws gamut::Error when it holds something that is
  // no preparation, or when another process is at work in it.
  explicit PrepareFolder(std::filesystem::path out);

  const std::filesystem::path& out() const { return out_; }
  std::filesystem::path journal() const { return work_ / "journal"; }
  // An empty folder for files that are not complete.
  std::filesystem::path new_shards() const;
  // Gives the files of new_shards() their names in the folder, `manifest` written last of all, and
  // removes `.prepare`.
  void complete(const nlohmann::json& manifest);

 private:
  std::filesystem::path out_, work_;
  std::optional<files::FileLock> lock_;
};

// Removes what a process that was killed at the very end left beside the manifest.
void remove_leftovers(const std::filesystem::path& out);

}  // namespace gamut::data
