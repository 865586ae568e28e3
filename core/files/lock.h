// A lock on a file, so that two processes do not work in one folder.
#pragma once

#include <filesystem>

namespace gamut::files {

// Held until the object goes or the process ends, however it does. Where the file system knows no
// locks (some network ones), one process at a time is the user's care: the lock counts as held.
class FileLock {
 public:
  enum class Busy { give_up, wait };

  // `path` is made where it is not there. Throws gamut::Error when that fails.
  explicit FileLock(const std::filesystem::path& path, Busy busy = Busy::give_up);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  // False: another process has it, or a signal came while this one waited.
  bool held() const { return held_; }
  // The open file. A child process that inherits it holds the lock as long as it lives, too.
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_ = -1;
  bool held_ = false;
};

}  // namespace gamut::files
