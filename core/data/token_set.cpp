// Positions to shards, ids to int64 with the vocabulary checked on the way, and the fingerprint.
#include "data/token_set.h"

#include <gamut/error.h>
#include <glob.h>

#include <algorithm>
#include <utility>

#include "data/fingerprint.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;

// Ids as int64; returns the largest. Written to be vectorised.
uint16_t widen(const uint16_t* ids, int64_t count, int64_t* out) {
  uint16_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, ids[i]);
    out[i] = ids[i];
  }
  return largest;
}

[[noreturn]] void refuse_id(const Shard& shard, const uint16_t* id, int64_t vocab_size) {
  const int64_t index = id - shard.tokens();
  throw Error(c10::str(shard.path().string(), ": token ", index, ", at byte ",
                       kShardHeaderBytes + 2 * index, ", is ", *id,
                       ", outside of the vocabulary of ", vocab_size,
                       "; were these shards made with another tokenizer?"));
}

void check_ids(const Shard& shard, const uint16_t* ids, int64_t count, int64_t vocab_size) {
  const auto* bad = std::find_if(ids, ids + count, [&](uint16_t id) { return id >= vocab_size; });
  if (bad != ids + count) refuse_id(shard, bad, vocab_size);
}

}  // namespace

TokenSet::TokenSet(const std::vector<fs::path>& files, int64_t vocab_size)
    : starts_{0}, vocab_size_(vocab_size) {
  GAMUT_CHECK(!files.empty(), "a token set needs at least one shard");
  GAMUT_CHECK(vocab_size > 0 && vocab_size <= kMaxVocabulary, "vocab_size must be 1 to ",
              kMaxVocabulary, ", got ", vocab_size);
  for (const auto& file : files) {
    shards_.push_back(std::make_unique<Shard>(file));
    starts_.push_back(starts_.back() + shards_.back()->size());
  }
}

void TokenSet::read(int64_t begin, int64_t count, int64_t* out) const {
  GAMUT_CHECK(size() > 0 || count == 0, shards_[0]->path().string(), " holds no tokens");
  while (count > 0) {
    const int64_t position = begin % size();
    // The last shard that starts at or before the position; shards without tokens are passed over.
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), position);
    const auto index = static_cast<size_t>(after - starts_.begin()) - 1;
    const int64_t piece = std::min(count, starts_[index + 1] - position);
    copy(*shards_[index], position - starts_[index], piece, out);
    begin = position + piece, out += piece, count -= piece;
  }
}

void TokenSet::copy(const Shard& shard, int64_t begin, int64_t count, int64_t* out) const {
  const uint16_t* ids = shard.tokens() + begin;
  if (widen(ids, count, out) >= vocab_size_) check_ids(shard, ids, count, vocab_size_);
}

void TokenSet::verify() const {
  for (const auto& shard : shards_) check_ids(*shard, shard->tokens(), shard->size(), vocab_size_);
}

std::string TokenSet::fingerprint() const {
  std::string lines;
  for (const auto& shard : shards_) {
    lines += fingerprint_line(shard->path(), shard->bytes(), shard->file_bytes());
  }
  return fingerprint_of(lines);
}

std::vector<fs::path> match_pattern(const std::string& pattern) {
  glob_t found;
  std::vector<fs::path> files;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  globfree(&found);
  return files;
}

std::vector<fs::path> find_shards(const std::string& path, const std::string& split) {
  std::vector<fs::path> files;
  if (path.find_first_of("*?[") != std::string::npos && !fs::exists(path)) {
    files = match_pattern(path);
    GAMUT_CHECK(!files.empty(), "no file matches the pattern ", path);
  } else if (fs::is_directory(path)) {
    const std::string part = split.empty() ? "" : "_" + split + "_";
    for (const auto& entry : fs::directory_iterator(path)) {
      const std::string name = entry.path().filename().string();
      const bool fits = entry.path().extension() == ".bin" && name[0] != '.';
      if (fits && name.find(part) != std::string::npos) files.push_back(entry.path());
    }
    GAMUT_CHECK(!files.empty(), "the folder ", path, " holds no token shards (*", part, "*.bin)");
  } else {
    GAMUT_CHECK(fs::exists(path), "there is no file or folder ", path);
    files.emplace_back(path);
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace gamut::data
