// A codes shard: the codes of many recordings in one safetensors file, which Python reads as such.
//
//   codes    U16 [frames, codebooks]  raw codes, all codebooks of a frame together; no special ids
//   offsets  I64 [items + 1]          where each item's frames begin; the last one is `frames`
//   items    U8  [bytes]              JSON, a line an item: {"name": …, "text": …, …}
//
// The metadata holds format ("gamut.codes/1"), tokenizer (JSON: name, version, options, identity),
// sample_rate, frame_rate, hop_length, codebooks, vocab_size, split, and xxh3.codes, xxh3.offsets,
// xxh3.items, the 128-bit XXH3 of each tensor's bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/codes/description.h"
#include "files/file.h"

namespace gamut::data {

constexpr const char* kCodesFormat = "gamut.codes/1";

// A shard in memory. All pointers are into the bytes it was parsed from.
struct CodesView {
  CodesDescription description;
  std::string split;
  int64_t items = 0, frames = 0;
  const uint16_t* codes = nullptr;
  const int64_t* offsets = nullptr;
  std::vector<std::string_view> lines;           // of the items
  std::map<std::string, std::string> checksums;  // by tensor
};

// Checks everything but the codes, the checksums and the JSON of the items. `bytes` must begin at a
// multiple of 8; nothing outside of them is read, whatever they hold. Throws gamut::Error that
// names `path` and, where it is one byte's fault, the byte.
CodesView parse_codes(const uint8_t* bytes, size_t size, const std::filesystem::path& path);

// A shard mapped into memory.
class CodesShard {
 public:
  explicit CodesShard(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const CodesDescription& description() const { return view_.description; }
  const std::string& split() const { return view_.split; }
  int64_t items() const { return view_.items; }
  int64_t frames() const { return view_.frames; }
  // Of item `index`, 0 or more: its first frame, and its number of frames.
  int64_t begin(int64_t index) const { return view_.offsets[index]; }
  int64_t length(int64_t index) const { return view_.offsets[index + 1] - view_.offsets[index]; }
  // All frames, [frames, codebooks] row by row.
  const uint16_t* codes() const { return view_.codes; }
  // What is known of an item: an object with a string `name` at least.
  nlohmann::json facts(int64_t index) const;

  // Reads everything: checksums, items, and codes outside of the vocabulary.
  void verify() const;
  // Throws gamut::Error that names the first code of these frames outside of the vocabulary.
  void check_codes(int64_t first_frame, int64_t frames) const;

  const files::MappedFile& file() const { return file_; }

 private:
  std::filesystem::path path_;
  files::MappedFile file_;
  CodesView view_;
};

// What verify does, of bytes in memory.
void verify_codes(const CodesView& view, const std::filesystem::path& path);

}  // namespace gamut::data
