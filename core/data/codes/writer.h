// Writes codes shards.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/codes/description.h"

namespace gamut::data {

constexpr int64_t kCodesShardBytes = int64_t{256} << 20;

// Writes `<split>_000000.safetensors`, `<split>_000001.safetensors`, ... into a folder. A shard is
// held in memory until it is full, and appears under its name complete or not at all. Equal items
// in equal order give equal bytes.
class CodesWriter {
 public:
  // A shard is ended before an item that would take it above `shard_bytes` of codes, items and
  // offsets; an item larger than that has a shard of its own. Throws gamut::Error for a description
  // that no shard can hold.
  CodesWriter(std::filesystem::path folder, std::string split, CodesDescription description,
              int64_t shard_bytes = kCodesShardBytes);

  // `codes` as a tokenizer gives them: integers [codebooks, frames]. `facts` is an object with a
  // string `name`; the others that have a meaning are source, sha256 (of the source file), samples,
  // channels, sample_rate (all three of the source), text (the transcript). Throws gamut::Error for
  // codes outside of the vocabulary, and for text that is not UTF-8.
  void append(const at::Tensor& codes, const nlohmann::json& facts);
  int64_t items() const { return items_; }  // appended so far
  int64_t frames() const { return frames_; }

  // Completes the last shard; returns the paths of all. Without any item: one shard of none.
  std::vector<std::filesystem::path> finish();

 private:
  int64_t bytes() const;
  void write_shard();

  std::filesystem::path folder_;
  std::string split_;
  CodesDescription description_;
  int64_t shard_bytes_;
  int64_t items_ = 0, frames_ = 0;

  // Of the shard in the making.
  std::vector<uint16_t> codes_;
  std::vector<int64_t> offsets_{0};
  std::string lines_;
  std::vector<std::filesystem::path> finished_;
};

}  // namespace gamut::data
