// What is finished, in a file that only grows: a record a unit, each with its checksum. A process
// that is killed at any moment leaves whole records and at most one torn one at the end.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace gamut::data {

// A record: 8 bytes "GAMUTJR1"; uint64 bytes of the head and of the payload, little-endian; both;
// 32 hexadecimal digits, the XXH3 of all that.
class Journal {
 public:
  // Where a record lies.
  struct Place {
    uint64_t offset = 0, head_bytes = 0, payload_bytes = 0;
  };
  struct Record {
    std::string head;     // JSON
    std::string payload;  // bytes
  };

  // Opens the file, or creates it. `visit` gets the heads of all whole records in order. What
  // follows the last whole one is cut off: dropped_bytes() tells how much that was.
  Journal(std::filesystem::path path,
          const std::function<void(std::string_view head, const Place&)>& visit);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Throws gamut::Error when the disk is full, say; the file is then as it was before.
  Place append(std::string_view head, std::string_view payload);
  // Hands what was appended to the disk: it outlives a power failure from then on.
  void sync();
  // Throws gamut::Error where the record is not as it was written.
  Record read(const Place& place) const;

  uint64_t bytes() const { return end_; }
  uint64_t dropped_bytes() const { return dropped_; }

 private:
  void write_record(std::string_view record);

  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t end_ = 0, dropped_ = 0;
};

}  // namespace gamut::data
