// The items of many codes shards, numbered through.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/codes/shard.h"

namespace gamut::data {

class CodeSet {
 public:
  // In the order given. Throws gamut::Error for an empty list, for a file that is no whole shard,
  // and for shards whose codes cannot be mixed because another tokenizer made them.
  explicit CodeSet(const std::vector<std::filesystem::path>& files);

  int64_t items() const { return starts_.back(); }
  int64_t frames() const { return frames_; }  // of all items
  // Of all shards; the tokenizer's options are those in the first one.
  const CodesDescription& description() const { return shards_[0]->description(); }
  const std::vector<std::unique_ptr<CodesShard>>& shards() const { return shards_; }

  // Below, `index` is 0 to items() - 1, anything else an error.
  int64_t length(int64_t index) const;  // frames
  // What is known of it: `name`, and where there are, `text`, `source` and more.
  nlohmann::json facts(int64_t index) const;
  // uint16 [frames, codebooks], a view of the file, valid as long as the set. Codes outside of the
  // vocabulary are refused.
  at::Tensor item(int64_t index) const;
  // Copies frames [begin, begin + count) to out[codebook * stride + frame], and refuses codes
  // outside of the vocabulary. May be called from several threads.
  void read(int64_t index, int64_t begin, int64_t count, int64_t* out, int64_t stride) const;

  // The first item of that name, or -1.
  int64_t find(const std::string& name) const;

  // Reads everything, as CodesShard::verify.
  void verify() const;
  // As TokenSet::fingerprint.
  std::string fingerprint() const;

 private:
  struct Place {
    const CodesShard& shard;
    int64_t index;  // in the shard
  };
  Place place(int64_t index) const;

  std::vector<std::unique_ptr<CodesShard>> shards_;
  std::vector<int64_t> starts_{0};  // number of each shard's first item, then of all
  int64_t frames_ = 0;
};

// Which files a script means: a file, a folder (its <split>_000000.safetensors and so on, of any
// split for ""), or a pattern with `*`, `?` or `[`; in lexicographic order. Throws gamut::Error
// when there is none, and where one between others is missing.
std::vector<std::filesystem::path> find_codes(const std::string& path, const std::string& split);

}  // namespace gamut::data
