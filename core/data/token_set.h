// The tokens of many shards as one long sequence.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/shard.h"

namespace gamut::data {

class TokenSet {
 public:
  // In the order given. `vocab_size` is what ids are checked against as they are read. Throws
  // gamut::Error for an empty list and for every file that is no whole shard.
  explicit TokenSet(const std::vector<std::filesystem::path>& files,
                    int64_t vocab_size = kMaxVocabulary);

  int64_t size() const { return starts_.back(); }  // tokens
  int64_t vocab_size() const { return vocab_size_; }
  const std::vector<std::unique_ptr<Shard>>& shards() const { return shards_; }

  // Copies `count` ids from position `begin` on; after the last token comes the first again.
  // Throws gamut::Error that names file and byte offset of an id outside of the vocabulary.
  // May be called from several threads.
  void read(int64_t begin, int64_t count, int64_t* out) const;

  // Reads everything, for ids outside of the vocabulary.
  void verify() const;

  // Names the data: file names, sizes and contents. Of a file above 16 MiB, 17 pieces of 64 KiB
  // spread over it stand for the whole, so a set of any size is named in well under a second; an
  // edit between the pieces goes unnoticed.
  std::string fingerprint() const;

 private:
  void copy(const Shard& shard, int64_t begin, int64_t count, int64_t* out) const;

  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<int64_t> starts_;  // position of each shard's first token, then the total
  int64_t vocab_size_;
};

// Which files a script means: a file, a folder (its *.bin, or with a split those with `_train_` or
// `_val_` in their name) or a pattern with `*`, `?` or `[`; in lexicographic order. Throws
// gamut::Error when there is none.
std::vector<std::filesystem::path> find_shards(const std::string& path, const std::string& split);

// Files and folders that match a shell pattern, sorted; none is no error.
std::vector<std::filesystem::path> match_pattern(const std::string& pattern);

}  // namespace gamut::data
