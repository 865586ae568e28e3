// PKWARE's APPNOTE.TXT 6.3.9, sections 4.3 (records) and 4.5.3 (Zip64).
#include "checkpoint/torch_file/zip_directory.h"

#include <gamut/error.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

namespace gamut::checkpoint::torch_file {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kDirectoryHeader = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kEnd64Locator = 0x07064b50;
constexpr uint64_t kLocalBytes = 30;
constexpr uint64_t kDirectoryBytes = 46;
constexpr uint64_t kEndBytes = 22;
constexpr uint64_t kEnd64Bytes = 56;
constexpr uint64_t kLocatorBytes = 20;
// A field that holds this has its value in a Zip64 record.
constexpr uint64_t kElsewhere16 = 0xffff;
constexpr uint64_t kElsewhere32 = 0xffffffff;

uint32_t checksum(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

}  // namespace

// Where the directory is, by the record at the end of the archive.
struct ZipDirectory::End {
  uint64_t entries = 0;
  uint64_t begin = 0;
  uint64_t size = 0;
};

// Numbers at offsets of the archive, each read checked against its end.
class ZipDirectory::Reader {
 public:
  Reader(std::string_view archive, const std::string& path) : archive_(archive), path_(path) {}

  template <class Number>
  Number number(uint64_t offset) const {
    Number value{};
    const std::string_view bytes = slice(offset, sizeof(Number));
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(&value));
    return value;
  }
  uint64_t u16(uint64_t offset) const { return number<uint16_t>(offset); }
  uint64_t u32(uint64_t offset) const { return number<uint32_t>(offset); }
  uint64_t u64(uint64_t offset) const { return number<uint64_t>(offset); }

  std::string_view slice(uint64_t offset, uint64_t size) const {
    check(offset <= archive_.size() && size <= archive_.size() - offset, offset,
          "its directory points outside of it");
    return archive_.substr(offset, size);
  }

  template <class... Parts>
  void check(bool condition, uint64_t offset, const Parts&... what) const {
    GAMUT_CHECK(condition, path_, " is truncated or damaged at byte ", offset, ": ", what...);
  }

  // The record that every archive ends with, and where it is. A comment may follow it.
  End end() const {
    const uint64_t size = archive_.size();
    for (uint64_t comment = 0; comment <= kElsewhere16 && comment + kEndBytes <= size; ++comment) {
      const uint64_t at = size - kEndBytes - comment;
      if (u32(at) == kEnd && u16(at + 20) == comment) return end_at(at);
    }
    throw Error(path_ + " is truncated or no zip archive: the directory that ends one is missing");
  }

  // One record of the directory; moves `at` behind it.
  ZipEntry entry(uint64_t& at, uint64_t directory) const {
    check(u32(at) == kDirectoryHeader, at, "an entry of its directory was expected");
    ZipEntry entry;
    entry.encrypted = (u16(at + 8) & 1) != 0;
    entry.method = number<uint16_t>(at + 10);
    entry.crc32 = number<uint32_t>(at + 16);
    entry.size = u32(at + 20);
    entry.full_size = u32(at + 24);
    uint64_t local = u32(at + 42);
    const uint64_t name_bytes = u16(at + 28);
    const uint64_t extra_bytes = u16(at + 30);
    entry.name = slice(at + kDirectoryBytes, name_bytes);
    wide_fields(at + kDirectoryBytes + name_bytes, extra_bytes,
                {&entry.full_size, &entry.size, &local});
    place(entry, local, directory);
    at += kDirectoryBytes + name_bytes + extra_bytes + u16(at + 32);
    return entry;
  }

 private:
  End end_at(uint64_t at) const {
    End end{u16(at + 10), u32(at + 16), u32(at + 12)};
    if (end.entries == kElsewhere16 || end.begin == kElsewhere32 || end.size == kElsewhere32) {
      const uint64_t locator = at - kLocatorBytes;
      check(at >= kLocatorBytes && u32(locator) == kEnd64Locator, at, "its Zip64 end is missing");
      at = u64(locator + 8);
      check(slice(at, kEnd64Bytes).size() == kEnd64Bytes && u32(at) == kEnd64, at,
            "its Zip64 end is missing");
      end = {u64(at + 32), u64(at + 48), u64(at + 40)};
    }
    slice(end.begin, end.size);
    check(end.entries <= end.size / kDirectoryBytes, at, "its directory of ", end.size,
          " bytes cannot hold ", end.entries, " entries");
    return end;
  }

  // Fields too large for 32 bits are in an extra record, in a fixed order.
  void wide_fields(uint64_t at, uint64_t bytes, std::initializer_list<uint64_t*> fields) const {
    const uint64_t end = at + bytes;
    while (at + 4 <= end) {
      const uint64_t id = u16(at);
      const uint64_t next = at + 4 + u16(at + 2);
      check(next <= end, at, "an extra record is longer than the room for it");
      if (id == 1) {
        at += 4;
        for (uint64_t* field : fields) {
          if (*field != kElsewhere32) continue;
          check(at + 8 <= next, at, "a Zip64 record is too short");
          *field = u64(at);
          at += 8;
        }
        return;
      }
      at = next;
    }
  }

  // The bytes follow the entry's own header, which must agree with the directory about the name.
  void place(ZipEntry& entry, uint64_t local, uint64_t directory) const {
    slice(local, kLocalBytes);
    check(u32(local) == kLocalHeader, local, "the header of an entry was expected");
    const uint64_t name_bytes = u16(local + 26);
    check(slice(local + kLocalBytes, name_bytes) == entry.name, local,
          "the name of an entry is not the one in the directory");
    entry.begin = local + kLocalBytes + name_bytes + u16(local + 28);
    check(entry.begin <= directory && entry.size <= directory - entry.begin, local, "the entry `",
          entry.name, "` of ", entry.size, " bytes ends after its directory begins, at ",
          directory);
  }

  std::string_view archive_;
  const std::string& path_;
};

ZipDirectory::ZipDirectory(std::string_view archive, std::string path)
    : archive_(archive), path_(std::move(path)) {
  const Reader reader(archive_, path_);
  const End end = reader.end();
  uint64_t at = end.begin;
  entries_.reserve(end.entries);
  for (uint64_t i = 0; i < end.entries; ++i) {
    const uint64_t begin = at;
    entries_.push_back(reader.entry(at, end.begin));
    reader.check(names_.emplace(entries_.back().name, i).second, begin, "two entries are named `",
                 entries_.back().name, "`");
  }
}

const ZipEntry* ZipDirectory::find(std::string_view name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : &entries_[found->second];
}

std::string_view ZipDirectory::bytes(const ZipEntry& entry) const {
  GAMUT_CHECK(!entry.encrypted, path_, ": the entry `", entry.name, "` is encrypted");
  GAMUT_CHECK(entry.method == 0 && entry.size == entry.full_size, path_, ": the entry `",
              entry.name, "` is compressed, which torch.save never does; unpack the archive and ",
              "pack it again without compression (zip -0)");
  const std::string_view bytes = archive_.substr(entry.begin, entry.size);
  // Writers told to leave checksums out write 0.
  GAMUT_CHECK(entry.crc32 == 0 || checksum(bytes) == entry.crc32, path_,
              " is damaged: the checksum of the entry `", entry.name,
              "` is not that of its bytes; fetch or save the file again");
  return bytes;
}

}  // namespace gamut::checkpoint::torch_file
