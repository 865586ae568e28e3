// The header of a safetensors file: what tensors there are, and where.
//
// A file is an 8-byte little-endian length, that many bytes of JSON, then the tensors' bytes.
// Everything about the header is checked before any tensor is touched; a file may be hostile.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gamut::checkpoint {

// A dtype of the format. The table is in the format's own order: by alignment, upwards.
struct SafetensorsDtype {
  const char* name;                      // "BF16"
  int bits;                              // of one element
  std::optional<at::ScalarType> scalar;  // none: LibTorch has no such type
};
const SafetensorsDtype* find_safetensors_dtype(std::string_view name);  // null: unknown
const SafetensorsDtype* find_safetensors_dtype(at::ScalarType scalar);  // null: not in the format

struct SafetensorsEntry {
  std::string name;
  const SafetensorsDtype* dtype = nullptr;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // relative to the first byte after the header
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;        // in the order of their bytes
  std::map<std::string, std::string> metadata;  // `__metadata__`
  uint64_t data_begin = 0;                      // of the file
};

constexpr uint64_t kMaxHeaderBytes = 100'000'000;
// LibTorch's operators take no more dimensions.
constexpr size_t kMaxDimensions = 64;

// Reads and checks the header of a whole file in memory. `path` is for messages only. Throws
// gamut::Error that names file, tensor and offset.
SafetensorsHeader parse_safetensors_header(const uint8_t* file, size_t size,
                                           const std::filesystem::path& path);

// The same from disk; reads no tensor.
SafetensorsHeader read_safetensors_header(const std::filesystem::path& path);

}  // namespace gamut::checkpoint
