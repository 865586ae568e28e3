// From a folder of text documents to token shards, made once and kept.
#pragma once

#include <gamut/tokenizer.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gamut::data {

struct CorpusOptions {
  std::filesystem::path source;  // a file, or a folder of text documents
  std::filesystem::path cache;   // made when it is not there
  double validation = 0.05;      // share of the documents; of a single file, its end
  uint64_t seed = 0;             // of the split
  std::string tokenizer_name, tokenizer_version;
  int64_t shard_tokens = 100'000'000;
  // Called a few times a second or more while shards are made: documents done, all of them, and
  // bytes of text done.
  std::function<void(int64_t, int64_t, int64_t)> progress;
};

struct Corpus {
  std::vector<std::filesystem::path> train, validation;
  // manifest.json beside the shards: source, tokenizer, counts and the files that were skipped.
  nlohmann::json manifest;
  bool reused = false;
};

// Each document becomes BOS and its tokens. Which of them are held out, a seeded hash of the name
// decides, so adding documents moves no other. The result goes into a folder of the cache that is
// named after everything it depends on (files with their sizes and times, tokenizer, share, seed);
// when that folder is there and whole it is used as it is. Throws gamut::Error for unreadable
// sources, a tokenizer without `bos`, and a full disk.
Corpus prepare_corpus(const CorpusOptions& options, Tokenizer& tokenizer);

}  // namespace gamut::data
