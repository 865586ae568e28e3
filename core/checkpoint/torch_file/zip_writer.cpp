// PKWARE's APPNOTE.TXT 6.3.9 with the choices of LibTorch's copy of miniz: sizes follow the entry
// in a data descriptor, padding is an extra field "FB", the end is in Zip64 and again without.
#include "checkpoint/torch_file/zip_writer.h"

#include <c10/util/hash.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

namespace gamut::checkpoint::torch_file {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint64_t kLocalBytes = 30;
constexpr uint64_t kExtraBytes = 4;      // an extra field's id and size
constexpr uint16_t kUtf8 = 0x0800;       // names are
constexpr uint16_t kSizesFollow = 0x08;  // the bytes
constexpr uint16_t kPaddingId = 0x4246;
constexpr uint16_t kZip64Id = 1;
constexpr uint64_t kElsewhere16 = 0xffff;
constexpr uint64_t kElsewhere32 = 0xffffffff;

// Little-endian fields one after the other.
class Record {
 public:
  Record& u16(uint64_t value) { return add<uint16_t>(value); }
  Record& u32(uint64_t value) { return add<uint32_t>(value); }
  Record& u64(uint64_t value) { return add<uint64_t>(value); }
  // Where a number does not fit, all ones stand for it.
  Record& u16_or_ones(uint64_t value) { return u16(std::min(value, kElsewhere16)); }
  Record& u32_or_ones(uint64_t value) { return u32(std::min(value, kElsewhere32)); }
  Record& text(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  template <class Number>
  Record& add(uint64_t value) {
    const auto number = static_cast<Number>(value);
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof number);
    return *this;
  }

  std::string bytes_;
};

// The numbers among these that do not fit 32 bits, as an extra field, or nothing.
std::string zip64_field(std::initializer_list<uint64_t> numbers) {
  Record wide;
  for (const uint64_t number : numbers) {
    if (number >= kElsewhere32) wide.u64(number);
  }
  if (wide.bytes().empty()) return {};
  return Record().u16(kZip64Id).u16(wide.bytes().size()).text(wide.bytes()).bytes();
}

// So many bytes of padding that what follows `at` and a header with them is aligned.
std::string padding_field(uint64_t at) {
  const uint64_t padding = (kAlignment - (at + kExtraBytes) % kAlignment) % kAlignment;
  return Record().u16(kPaddingId).u16(padding).text(std::string(padding, 'Z')).bytes();
}

}  // namespace

ZipWriter::ZipWriter(Sink sink, std::string folder)
    : sink_(std::move(sink)), folder_(std::move(folder)) {}

void ZipWriter::write(std::string_view bytes) {
  sink_(bytes.data(), bytes.size());
  at_ += bytes.size();
}

void ZipWriter::add(const std::string& name, std::string_view bytes) {
  const std::string path = folder_ + "/" + name;
  const uint64_t begin = at_, size = bytes.size();
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  // An empty entry has no data descriptor, and no part in the serialization id.
  const uint64_t checksum = size > 0 ? crc32_z(0, data, size) : 0;
  const uint16_t flags = size > 0 ? kUtf8 | kSizesFollow : kUtf8;
  const std::string wide = zip64_field({size, size, begin});
  const std::string extra = wide + padding_field(begin + kLocalBytes + path.size() + wide.size());
  Record header;
  header.u32(0x04034b50).u16(0).u16(flags).u16(0).u32(0);  // version, method, time
  header.u32(0).u32(0).u32(0);                             // checksum and sizes follow the bytes
  write(header.u16(path.size()).u16(extra.size()).text(path).text(extra).bytes());
  write(bytes);
  if (size > 0) {
    Record descriptor;
    descriptor.u32(0x08074b50).u32(checksum);
    write((wide.empty() ? descriptor.u32(size).u32(size) : descriptor.u64(size).u64(size)).bytes());
    checksums_ = at::hash_combine(checksums_, checksum);
  }
  Record entry;
  entry.u32(0x02014b50).u16(0).u16(0).u16(flags).u16(0).u32(0).u32(checksum);
  entry.u32_or_ones(size).u32_or_ones(size).u16(path.size()).u16(wide.size());
  entry.u16(0).u16(0).u16(0).u32(0).u32_or_ones(begin);  // no comment, first disk, attributes
  directory_ += entry.text(path).text(wide).bytes();
  ++entries_;
  names_.insert(name);
}

// Two numbers of 20 digits, of the names and of the checksums: equal files have equal ones.
std::string ZipWriter::serialization_id() const {
  uint64_t names = 0;
  for (const auto& name : names_) names = at::hash_combine(names, c10::hash<std::string>{}(name));
  std::string id;
  for (const uint64_t number : {names, checksums_}) {
    const std::string digits = std::to_string(number);
    id += std::string(20 - digits.size(), '0') + digits;
  }
  return id;
}

uint64_t ZipWriter::finish() {
  add("version", "3\n");
  add(".data/serialization_id", serialization_id());
  const uint64_t begin = at_, size = directory_.size();
  write(directory_);
  const uint64_t end = at_;
  Record record;
  record.u32(0x06064b50).u64(44).u16(0x031e).u16(45).u32(0).u32(0);  // made by, needs, disks
  record.u64(entries_).u64(entries_).u64(size).u64(begin);
  record.u32(0x07064b50).u32(0).u64(end).u32(1);  // where that was
  record.u32(0x06054b50).u16(0).u16(0).u16_or_ones(entries_).u16_or_ones(entries_);
  write(record.u32_or_ones(size).u32_or_ones(begin).u16(0).bytes());
  return at_;
}

}  // namespace gamut::checkpoint::torch_file
