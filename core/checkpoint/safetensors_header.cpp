// The header's JSON is taken event by event: the document parser of nlohmann silently keeps the
// last of two equal names, and builds whatever depth it is given.
#include "checkpoint/safetensors_header.h"

#include <gamut/error.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>
#include <unordered_set>

#include "files/file.h"

namespace gamut::checkpoint {
namespace {

using at::ScalarType;
using nlohmann::json;

constexpr SafetensorsDtype kDtypes[] = {
    {"BOOL", 8, ScalarType::Bool},
    {"F4", 4, std::nullopt},
    {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt},
    {"U8", 8, ScalarType::Byte},
    {"I8", 8, ScalarType::Char},
    {"F8_E5M2", 8, ScalarType::Float8_e5m2},
    {"F8_E4M3", 8, ScalarType::Float8_e4m3fn},
    {"F8_E8M0", 8, ScalarType::Float8_e8m0fnu},
    {"F8_E4M3FNUZ", 8, ScalarType::Float8_e4m3fnuz},
    {"F8_E5M2FNUZ", 8, ScalarType::Float8_e5m2fnuz},
    {"I16", 16, ScalarType::Short},
    {"U16", 16, ScalarType::UInt16},
    {"F16", 16, ScalarType::Half},
    {"BF16", 16, ScalarType::BFloat16},
    {"I32", 32, ScalarType::Int},
    {"U32", 32, ScalarType::UInt32},
    {"F32", 32, ScalarType::Float},
    {"C64", 64, ScalarType::ComplexFloat},
    {"F64", 64, ScalarType::Double},
    {"I64", 64, ScalarType::Long},
    {"U64", 64, ScalarType::UInt64},
};

// Takes the events of the header's JSON and throws gamut::Error at the first that does not belong.
class HeaderReader {
 public:
  HeaderReader(const std::filesystem::path& path, SafetensorsHeader& header)
      : path_(path), header_(header) {}

  bool start_object(size_t) {
    if (place_ == Place::start) return go(Place::names);
    if (place_ == Place::names) return start_entry();
    refuse("an object");
  }
  bool end_object() {
    if (place_ == Place::fields) finish_entry();
    return go(place_ == Place::names ? Place::finished : Place::names);
  }
  bool start_array(size_t) {
    if (place_ == Place::fields && key_ == "shape") return go(Place::shape);
    if (place_ == Place::fields && key_ == "data_offsets") return go(Place::offsets);
    refuse("a list");
  }
  bool end_array() { return go(Place::fields); }
  bool key(std::string& name) {
    if (place_ == Place::names) return new_name(name);
    if (place_ == Place::metadata) {
      check(header_.metadata.emplace(name, "").second, "metadata `", name, "` appears twice");
    } else {
      check(name == "dtype" || name == "shape" || name == "data_offsets", "tensor `", name_,
            "` has an unknown field `", name, "`");
      check(fields_.insert(name).second, "tensor `", name_, "` has `", name, "` twice");
    }
    key_ = name;
    return true;
  }
  bool string(std::string& text) {
    if (place_ == Place::metadata) {
      header_.metadata[key_] = text;
      return true;
    }
    if (place_ != Place::fields || key_ != "dtype") refuse("a string");
    entry_.dtype = find_safetensors_dtype(text);
    check(entry_.dtype, "tensor `", name_, "` has the unknown dtype `", text, "`");
    return true;
  }
  bool number_unsigned(uint64_t number) {
    if (place_ == Place::shape) {
      check(number <= INT64_MAX, "tensor `", name_, "` has a dimension of ", number);
      check(entry_.shape.size() < kMaxDimensions, "tensor `", name_, "` has more than ",
            kMaxDimensions, " dimensions");
      entry_.shape.push_back(static_cast<int64_t>(number));
    } else if (place_ == Place::offsets) {
      check(offsets_ < 2, "tensor `", name_, "` has more than two data_offsets");
      (offsets_++ == 0 ? entry_.begin : entry_.end) = number;
    } else {
      refuse("a number");
    }
    return true;
  }
  bool number_integer(int64_t number) {
    if (place_ == Place::shape || place_ == Place::offsets) {
      throw_error("tensor `", name_, "` has the negative number ", number, " in ", key_);
    }
    refuse("a number");
  }
  bool number_float(double, const std::string& text) {
    if (place_ == Place::shape || place_ == Place::offsets) {
      throw_error("tensor `", name_, "` has ", text, " in ", key_,
                  ", which is no whole number of 64 bits");
    }
    refuse("a number");
  }
  bool boolean(bool) { refuse("true or false"); }
  bool null() { refuse("null"); }
  bool binary(json::binary_t&) { refuse("binary data"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) {
    throw_error("its header is no valid JSON at byte ", 8 + position - (position > 0));
  }

 private:
  enum class Place { start, names, metadata, fields, shape, offsets, finished };

  bool go(Place place) {
    place_ = place;
    return true;
  }

  bool new_name(const std::string& name) {
    check(names_.insert(name).second, "tensor `", name, "` appears twice in the header");
    name_ = name;
    return true;
  }

  bool start_entry() {
    if (name_ == "__metadata__") return go(Place::metadata);
    entry_ = {};
    entry_.name = name_;
    fields_.clear();
    offsets_ = 0;
    return go(Place::fields);
  }

  void finish_entry() {
    for (const char* field : {"dtype", "shape", "data_offsets"}) {
      check(fields_.count(field), "tensor `", name_, "` has no `", field, "`");
    }
    check(offsets_ == 2, "tensor `", name_, "` has one data_offset or none, not begin and end");
    header_.tensors.push_back(std::move(entry_));
  }

  template <class... Parts>
  void check(bool condition, const Parts&... parts) const {
    if (!condition) throw_error(parts...);
  }
  template <class... Parts>
  [[noreturn]] void throw_error(const Parts&... parts) const {
    throw Error(c10::str(path_.string(), " is no valid safetensors file: ", parts...));
  }
  [[noreturn]] void refuse(const char* found) const {
    switch (place_) {
      case Place::metadata:
        throw_error("metadata `", key_, "` holds ", found, "; only strings are allowed");
      case Place::fields:
      case Place::shape:
      case Place::offsets:
        throw_error("tensor `", name_, "` holds ", found, " in ", key_, ", where it cannot be");
      default:
        throw_error("the header holds ", found, " as `", name_, "`, where a tensor should be");
    }
  }

  const std::filesystem::path& path_;
  SafetensorsHeader& header_;
  Place place_ = Place::start;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> fields_;
  std::string name_;
  std::string key_;
  SafetensorsEntry entry_;
  int offsets_ = 0;
};

// The length in front, checked against the file and the format's limit.
uint64_t header_length(const uint8_t* file, size_t size, const std::string& path) {
  GAMUT_CHECK(size >= 8, path, " is no valid safetensors file: it has ", size,
              " bytes, fewer than the 8 of the header's length");
  GAMUT_CHECK(
      std::memcmp(file, "PK\3\4", 4) != 0, path, " is a zip archive, as PyTorch's .pth, .th ",
      "and .pt files are, and no safetensors file; `gamut convert` makes one of such a file");
  uint64_t length = 0;
  std::memcpy(&length, file, 8);
  GAMUT_CHECK(length <= kMaxHeaderBytes, path, " is no valid safetensors file: its header claims ",
              length, " bytes, more than the limit of ", kMaxHeaderBytes);
  GAMUT_CHECK(length <= size - 8, path, " is truncated or no safetensors file: its header claims ",
              length, " bytes and only ", size - 8, " follow");
  return length;
}

// What JSON would let pass: it must start with `{` and end with `}` and spaces. The parser takes a
// NUL for the end of the text.
void check_frame(const char* text, size_t length, const std::string& path) {
  GAMUT_CHECK(length > 0 && text[0] == '{', path,
              " is no valid safetensors file: its header does not start with `{` at byte 8");
  size_t last = length;
  while (text[last - 1] == ' ') --last;
  GAMUT_CHECK(text[last - 1] == '}', path,
              " is no valid safetensors file: its header ends with neither `}` nor spaces at byte ",
              8 + last - 1);
  GAMUT_CHECK(!std::memchr(text, 0, length), path,
              " is no valid safetensors file: its header has a zero byte");
}

// Bytes that shape and dtype ask for, or an error if that overflows or ends within a byte. Empty
// dimensions count as 1 for the overflow: LibTorch computes strides that way.
uint64_t required_bytes(const SafetensorsEntry& entry, const std::string& path) {
  uint64_t bits = static_cast<uint64_t>(entry.dtype->bits);
  bool overflow = false;
  bool empty = false;
  for (int64_t size : entry.shape) {
    empty |= size == 0;
    overflow |=
        __builtin_mul_overflow(bits, static_cast<uint64_t>(std::max<int64_t>(size, 1)), &bits);
  }
  GAMUT_CHECK(!overflow, path, " is no valid safetensors file: the shape of tensor `", entry.name,
              "` overflows 64 bits");
  if (empty) return 0;
  GAMUT_CHECK(bits % 8 == 0, path, " is no valid safetensors file: tensor `", entry.name, "` of ",
              entry.dtype->name, " does not fill whole bytes");
  return bits / 8;
}

void check_entry(const SafetensorsEntry& entry, uint64_t data_bytes, const std::string& path) {
  GAMUT_CHECK(entry.begin <= entry.end, path, " is no valid safetensors file: tensor `", entry.name,
              "` ends at data offset ", entry.end, ", before it begins at ", entry.begin);
  GAMUT_CHECK(entry.end <= data_bytes, path, " is truncated or damaged: tensor `", entry.name,
              "` ends at data offset ", entry.end, " and there are ", data_bytes, " bytes of data");
  uint64_t required = required_bytes(entry, path);
  GAMUT_CHECK(entry.end - entry.begin == required, path, " is no valid safetensors file: tensor `",
              entry.name, "` at data offset ", entry.begin, " has ", entry.end - entry.begin,
              " bytes, and its shape and dtype ask for ", required);
}

// Sorted, the tensors must tile the data: no holes, no overlaps, nothing behind the last.
void check_tiling(std::vector<SafetensorsEntry>& tensors, uint64_t data_bytes,
                  const std::string& path) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t end = 0;
  for (const auto& entry : tensors) {
    check_entry(entry, data_bytes, path);
    GAMUT_CHECK(entry.begin == end, path, " is no valid safetensors file: tensor `", entry.name,
                "` begins at data offset ", entry.begin,
                entry.begin < end ? ", inside of" : ", with a hole after",
                " the tensor before, which ends at ", end);
    end = entry.end;
  }
  GAMUT_CHECK(end == data_bytes, path,
              " is no valid safetensors file: its tensors end at data offset ", end,
              " and there are ", data_bytes, " bytes of data");
}

}  // namespace

const SafetensorsDtype* find_safetensors_dtype(std::string_view name) {
  for (const auto& dtype : kDtypes) {
    if (dtype.name == name) return &dtype;
  }
  return nullptr;
}

const SafetensorsDtype* find_safetensors_dtype(at::ScalarType scalar) {
  for (const auto& dtype : kDtypes) {
    if (dtype.scalar == scalar) return &dtype;
  }
  return nullptr;
}

SafetensorsHeader parse_safetensors_header(const uint8_t* file, size_t size,
                                           const std::filesystem::path& path) {
  const std::string name = path.string();
  const uint64_t length = header_length(file, size, name);
  const char* text = reinterpret_cast<const char*>(file) + 8;
  check_frame(text, length, name);

  SafetensorsHeader header;
  header.data_begin = 8 + length;
  HeaderReader reader(path, header);
  json::sax_parse(text, text + length, &reader);
  check_tiling(header.tensors, size - header.data_begin, name);
  return header;
}

SafetensorsHeader read_safetensors_header(const std::filesystem::path& path) {
  files::MappedFile file(path);
  return parse_safetensors_header(file.data(), file.size(), path);
}

}  // namespace gamut::checkpoint
