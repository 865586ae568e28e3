#include "script/enums.h"

#include <algorithm>

namespace gamut::script {
namespace {

struct DtypeName {
  const char* name;
  c10::ScalarType type;
};

// The first name of a type is the one that `x.dtype` gives.
constexpr DtypeName kDtypes[] = {
    {"float32", c10::kFloat},
    {"float64", c10::kDouble},
    {"float16", c10::kHalf},
    {"bfloat16", c10::kBFloat16},
    {"int64", c10::kLong},
    {"int32", c10::kInt},
    {"int16", c10::kShort},
    {"int8", c10::kChar},
    {"uint8", c10::kByte},
    {"bool", c10::kBool},
    {"uint16", c10::ScalarType::UInt16},
    {"uint32", c10::ScalarType::UInt32},
    {"uint64", c10::ScalarType::UInt64},
    {"complex32", c10::ScalarType::ComplexHalf},
    {"complex64", c10::ScalarType::ComplexFloat},
    {"complex128", c10::ScalarType::ComplexDouble},
    {"float8_e4m3fn", c10::ScalarType::Float8_e4m3fn},
    {"float8_e5m2", c10::ScalarType::Float8_e5m2},
    {"float8_e4m3fnuz", c10::ScalarType::Float8_e4m3fnuz},
    {"float8_e5m2fnuz", c10::ScalarType::Float8_e5m2fnuz},
    {"float8_e8m0fnu", c10::ScalarType::Float8_e8m0fnu},
    {"float", c10::kFloat},
    {"double", c10::kDouble},
    {"half", c10::kHalf},
    {"long", c10::kLong},
    {"int", c10::kInt},
    {"short", c10::kShort},
};

struct LayoutName {
  const char* name;
  c10::Layout layout;
};
constexpr LayoutName kLayouts[] = {
    {"strided", c10::Layout::Strided},      {"sparse", c10::Layout::Sparse},
    {"sparse_coo", c10::Layout::Sparse},    {"sparse_csr", c10::Layout::SparseCsr},
    {"sparse_csc", c10::Layout::SparseCsc}, {"sparse_bsr", c10::Layout::SparseBsr},
    {"sparse_bsc", c10::Layout::SparseBsc}, {"mkldnn", c10::Layout::Mkldnn},
    {"jagged", c10::Layout::Jagged},
};

struct FormatName {
  const char* name;
  c10::MemoryFormat format;
};
constexpr FormatName kFormats[] = {
    {"contiguous", c10::MemoryFormat::Contiguous},
    {"contiguous_format", c10::MemoryFormat::Contiguous},
    {"preserve", c10::MemoryFormat::Preserve},
    {"preserve_format", c10::MemoryFormat::Preserve},
    {"channels_last", c10::MemoryFormat::ChannelsLast},
    {"channels_last_3d", c10::MemoryFormat::ChannelsLast3d},
};

template <class Table>
auto find_name(const Table& table, std::string_view name) {
  return std::find_if(std::begin(table), std::end(table),
                      [&](const auto& entry) { return name == entry.name; });
}

}  // namespace

const char* dtype_name(c10::ScalarType type) {
  for (const auto& entry : kDtypes) {
    if (entry.type == type) return entry.name;
  }
  return c10::toString(type);
}

std::optional<c10::ScalarType> dtype_from_name(std::string_view name) {
  const auto* found = find_name(kDtypes, name);
  if (found == std::end(kDtypes)) return std::nullopt;
  return found->type;
}

std::vector<std::string> dtype_names() {
  std::vector<std::string> names;
  for (const auto& entry : kDtypes) names.emplace_back(entry.name);
  return names;
}

const char* layout_name(c10::Layout layout) {
  for (const auto& entry : kLayouts) {
    if (entry.layout == layout) return entry.name;
  }
  return "unknown";
}

std::optional<c10::Layout> layout_from_name(std::string_view name) {
  const auto* found = find_name(kLayouts, name);
  if (found == std::end(kLayouts)) return std::nullopt;
  return found->layout;
}

std::optional<c10::MemoryFormat> memory_format_from_name(std::string_view name) {
  const auto* found = find_name(kFormats, name);
  if (found == std::end(kFormats)) return std::nullopt;
  return found->format;
}

}  // namespace gamut::script
