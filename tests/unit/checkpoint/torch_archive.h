// Zip archives and pickles made by hand, for what torch.save never writes.
#pragma once

#include <zlib.h>

#include <string>
#include <vector>

namespace gamut::checkpoint {

using namespace std::string_literals;

template <class Number>
std::string little_endian(Number number) {
  return {reinterpret_cast<const char*>(&number), sizeof number};
}
inline std::string u16(uint64_t number) {
  return little_endian(static_cast<uint16_t>(number));
}
inline std::string u32(uint64_t number) {
  return little_endian(static_cast<uint32_t>(number));
}
inline std::string u64(uint64_t number) {
  return little_endian(number);
}

struct ZipItem {
  std::string name;
  std::string bytes;
  uint64_t method = 0;
  uint64_t flags = 0;
  uint64_t crc = ~0ULL;  // all ones: the right one
  bool wide = false;     // sizes and offset in a Zip64 record
};

inline std::string checksum_of(const ZipItem& item) {
  const auto* data = reinterpret_cast<const unsigned char*>(item.bytes.data());
  return u32(item.crc != ~0ULL ? item.crc : crc32_z(0, data, item.bytes.size()));
}

// From the flags to the length of the extra fields, as both headers of an entry have it.
inline std::string common_fields(const ZipItem& item, size_t extra) {
  const std::string size = u32(item.wide ? ~0ULL : item.bytes.size());
  return u16(item.flags) + u16(item.method) + u32(0) + checksum_of(item) + size + size +
         u16(item.name.size()) + u16(extra);
}

// `wide_end`: the number of entries and the directory's place are in a Zip64 end.
inline std::string zip(const std::vector<ZipItem>& items, bool wide_end = false) {
  std::string archive, directory;
  for (const auto& item : items) {
    const size_t begin = archive.size();
    archive += "PK\3\4" + u16(45) + common_fields(item, 0) + item.name + item.bytes;
    const std::string extra =
        item.wide ? u16(1) + u16(24) + u64(item.bytes.size()) + u64(item.bytes.size()) + u64(begin)
                  : "";
    directory += "PK\1\2" + u16(45) + u16(45) + common_fields(item, extra.size()) + u16(0) +
                 u16(0) + u16(0) + u32(0) + u32(item.wide ? ~0ULL : begin) + item.name + extra;
  }
  const uint64_t at = archive.size();
  archive += directory;
  if (wide_end) {
    const uint64_t end = archive.size();
    archive += "PK\6\6" + u64(44) + u16(45) + u16(45) + u32(0) + u32(0) + u64(items.size()) +
               u64(items.size()) + u64(directory.size()) + u64(at);
    archive += "PK\6\7" + u32(0) + u64(end) + u32(1);
  }
  const uint64_t count = wide_end ? ~0ULL : items.size();
  return archive + "PK\5\6" + u16(0) + u16(0) + u16(count) + u16(count) +
         u32(wide_end ? ~0ULL : directory.size()) + u32(wide_end ? ~0ULL : at) + u16(0);
}

// --- Pickles ------------------------------------------------------------------------------------

const std::string kProtocol2 = "\x80\x02";
const std::string kOrderedDict = "ccollections\nOrderedDict\n)R";

inline std::string text(const std::string& string) {
  return "X" + u32(string.size()) + string;
}
inline std::string number(int64_t value) {
  return "\x8a\x08" + little_endian(value);
}
inline std::string numbers(const std::vector<int64_t>& values) {
  std::string tuple = "(";
  for (const int64_t value : values) tuple += number(value);
  return tuple + "t";
}

inline std::string storage(int64_t elements, const std::string& type = "FloatStorage",
                           const std::string& key = "0") {
  return "(" + text("storage") + "ctorch\n" + type + "\n" + text(key) + text("cpu") +
         number(elements) + "tQ";
}

inline std::string tensor(const std::string& storage, int64_t offset,
                          const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(sizes) +
         numbers(strides) + "\x89" + kOrderedDict + "tR";
}

// A whole pickle of a dictionary with one value.
inline std::string dict_of(const std::string& value, const std::string& key = "w") {
  return kProtocol2 + "}" + text(key) + value + "s.";
}

// A whole file of a pickle and one storage.
inline std::string torch_file_of(const std::string& pickle, const std::string& data = "") {
  return zip({{"x/data.pkl", pickle}, {"x/data/0", data}});
}

}  // namespace gamut::checkpoint
