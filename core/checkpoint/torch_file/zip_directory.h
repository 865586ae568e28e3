// The directory of a zip archive in memory: which entries there are and where their bytes lie.
//
// torch.save stores its entries uncompressed, so that a tensor can be a view of the mapped file.
// Readers of general archives either copy every entry (libarchive) or do not tell a stored entry
// from a compressed one (LibTorch's PyTorchStreamReader); this one does neither, and only that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gamut::checkpoint::torch_file {

struct ZipEntry {
  std::string_view name;  // a view of the archive
  uint64_t begin = 0;     // of its bytes in the archive
  uint64_t size = 0;      // of them as they are stored
  uint64_t full_size = 0;
  uint32_t crc32 = 0;   // 0: the writer did not compute one
  uint16_t method = 0;  // 0: stored
  bool encrypted = false;
};

class ZipDirectory {
 public:
  // Reads the directory of an archive, Zip64 included. `archive` must outlive the object; `path` is
  // for messages. Throws gamut::Error, with the byte, for a truncated archive, an entry outside of
  // it, and two entries of one name. Takes memory in proportion to the directory's bytes.
  ZipDirectory(std::string_view archive, std::string path);

  const std::vector<ZipEntry>& entries() const { return entries_; }
  const ZipEntry* find(std::string_view name) const;  // null: there is none
  // The entry's bytes, a view of the archive. Throws gamut::Error unless it is stored, unencrypted
  // and has the checksum that the directory gives.
  std::string_view bytes(const ZipEntry& entry) const;

 private:
  struct End;
  class Reader;

  std::string_view archive_;
  std::string path_;
  std::vector<ZipEntry> entries_;
  std::unordered_map<std::string_view, size_t> names_;
};

}  // namespace gamut::checkpoint::torch_file
