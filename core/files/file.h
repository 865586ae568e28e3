// Files as checkpoints and data sets need them: every failure of the operating system noticed and
// said in words, contents flushed to disk before anybody relies on them, reading by memory map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "files/hash.h"

namespace gamut::files {

// Writes go to the system in pieces of this size, with a fault point before each.
constexpr size_t kPieceBytes = size_t{4} << 20;

// Throws gamut::Error: "cannot <what> <path>: <words of the errno>".
[[noreturn]] void fail(const std::string& what, const std::filesystem::path& path, int error);

// Passes a fault point that has no operation of its own; throws when an error is to be injected.
void pass_fault(const char* point, const std::filesystem::path& path);

// Past a file-size limit the system sends SIGXFSZ, which kills; after this the write says EFBIG.
void ignore_size_signal();

// A file being written. It must not exist yet. Destroyed without finish(), it is removed.
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Asks the file system for room first, so that a full disk is noticed before the work is done.
  // Where it cannot tell, the write finds out.
  void reserve(uint64_t bytes);
  void write(const void* data, size_t bytes);
  // Flushes to disk and closes; failures of either are errors.
  Digest finish();

 private:
  std::filesystem::path path_;
  Hasher hasher_;
  int descriptor_ = -1;
};

// Writes `path` as a whole or not at all: a temporary file beside it, flushed, then renamed. What
// stood there before stays until then, and mapped readers of it keep what they see.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  OutputFile& file() { return *file_; }
  Digest commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  std::unique_ptr<OutputFile> file_;
};

// Flushes the entries of a folder to disk, so that names made in it survive a power failure.
void sync_folder(const std::filesystem::path& folder);

// A file in memory, read-only on disk: writes through the pointer are private to this process.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace gamut::files
