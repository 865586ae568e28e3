// Token shards, the file format of Parameter Golf: 256 little-endian int32 (magic 20240520, version
// 1, token count n, zeros), then n little-endian uint16 ids, and nothing after them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "files/file.h"

namespace gamut::data {

constexpr int32_t kShardMagic = 20240520;
constexpr int32_t kShardVersion = 1;
constexpr int64_t kShardHeaderBytes = 1024;
constexpr int64_t kMaxVocabulary = 65536;
constexpr int64_t kShardTokens = 100'000'000;  // of all but the last shard of a split

// A shard mapped into memory. Its header and size are checked here; its ids where they are read,
// because a pass over all of them at every start would cost more than opening them.
class Shard {
 public:
  // Throws gamut::Error, with the byte offset, for anything that is no whole shard.
  explicit Shard(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const { return size_; }  // tokens
  const uint16_t* tokens() const { return tokens_; }
  // The whole file, header included.
  const uint8_t* bytes() const { return file_.data(); }
  int64_t file_bytes() const { return static_cast<int64_t>(file_.size()); }

 private:
  std::filesystem::path path_;
  files::MappedFile file_;
  const uint16_t* tokens_ = nullptr;
  int64_t size_ = 0;
};

// Writes tokens as `<prefix>_000000.bin`, `<prefix>_000001.bin`, ... in a folder. Each shard
// appears under its name only when it is complete and on disk. Destroyed without finish(), the
// unfinished one is removed.
class ShardWriter {
 public:
  ShardWriter(std::filesystem::path folder, std::string prefix, int64_t vocab_size,
              int64_t shard_tokens = kShardTokens);
  ~ShardWriter();
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  void append(const int64_t* ids, int64_t count);
  int64_t tokens() const { return tokens_; }  // appended so far
  // Completes the last shard; returns the paths of all.
  std::vector<std::filesystem::path> finish();

 private:
  void open();
  void flush();
  void close();
  void write_at(const void* data, size_t bytes, int64_t offset);

  std::filesystem::path folder_;
  std::string prefix_;
  int64_t vocab_size_;
  int64_t shard_tokens_;
  int64_t tokens_ = 0;

  int descriptor_ = -1;  // of the shard being written, or -1
  std::filesystem::path temporary_, final_;
  int64_t written_ = 0;  // tokens of this shard that are in the file
  std::vector<uint16_t> buffer_;
  std::vector<std::filesystem::path> finished_;
};

}  // namespace gamut::data
