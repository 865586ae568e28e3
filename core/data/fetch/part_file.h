// The file that a transfer fills: what is there of it, of which server's file, and its checksum.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "data/fetch/stream_digest.h"

namespace gamut::data {

class PartFile {
 public:
  // Opens or makes `TARGET.part`; what is in it goes into the checksum.
  PartFile(const std::filesystem::path& target, const std::string& digest);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  // Empties the part if it came from another URL, or if nothing would tell that the file of the
  // server changed meanwhile: neither a validator nor a checksum that is `pinned`.
  void keep_only_of(const std::string& url, bool pinned);
  // Empties the part, and notes what it is about to hold.
  void restart(const std::string& url, const std::string& validator, int64_t total);
  // Throws gamut::Error where the disk is full; what was written before stays.
  void append(const void* data, size_t bytes);
  // Flushes to disk and closes; returns the checksum.
  std::string finish();

  const std::filesystem::path& path() const { return path_; }
  int64_t bytes() const { return bytes_; }
  int64_t total() const { return total_; }                     // of the whole; -1: not known
  const std::string& validator() const { return validator_; }  // ETag or date; "" without one
  bool restarted() const { return restarted_; }

 private:
  void read_notes();
  void write_notes() const;
  void take_digest();

  std::filesystem::path path_, notes_;
  StreamDigest digest_;
  int descriptor_ = -1;
  int64_t bytes_ = 0, total_ = -1;
  std::string url_, validator_;
  bool restarted_ = false;
};

}  // namespace gamut::data
