// Reading checks every byte that is not a token id; writing goes through a temporary name.
#include "data/shard.h"

#include <fcntl.h>
#include <gamut/error.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace gamut::data {
namespace {

namespace fs = std::filesystem;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "shards are mapped as they lie on disk");

using Header = std::array<int32_t, kShardHeaderBytes / 4>;
constexpr size_t kBufferTokens = size_t{1} << 19;

}  // namespace

Shard::Shard(const fs::path& path) : path_(path), file_(path) {
  const std::string name = path.string();
  GAMUT_CHECK(file_bytes() >= kShardHeaderBytes, name, " is no token shard: it ends at byte ",
              file_bytes(), ", inside of the header of ", kShardHeaderBytes, " bytes");
  Header header;
  std::memcpy(header.data(), file_.data(), sizeof header);
  GAMUT_CHECK(header[0] == kShardMagic, name, " is no token shard: the magic number at byte 0 is ",
              header[0], ", not ", kShardMagic);
  GAMUT_CHECK(header[1] == kShardVersion, name, " is a shard of version ", header[1],
              " (at byte 4); this program reads version ", kShardVersion);
  GAMUT_CHECK(header[2] >= 0, name, " is damaged: its token count at byte 8 is ", header[2]);
  size_ = header[2];
  const int64_t right = kShardHeaderBytes + 2 * size_;
  GAMUT_CHECK(file_bytes() >= right, name, " is truncated: it ends at byte ", file_bytes(),
              ", and the ", size_, " tokens that its header names at byte 8 need ", right);
  GAMUT_CHECK(file_bytes() == right, name, " has ", file_bytes() - right, " bytes after byte ",
              right, ", where the ", size_, " tokens that its header names at byte 8 end");
  tokens_ = reinterpret_cast<const uint16_t*>(file_.data() + kShardHeaderBytes);
}

ShardWriter::ShardWriter(fs::path folder, std::string prefix, int64_t vocab_size,
                         int64_t shard_tokens)
    : folder_(std::move(folder)),
      prefix_(std::move(prefix)),
      vocab_size_(vocab_size),
      shard_tokens_(shard_tokens) {
  GAMUT_CHECK(vocab_size > 0 && vocab_size <= kMaxVocabulary, "a shard holds ids of 16 bits, and ",
              "this vocabulary has ", vocab_size, " (", kMaxVocabulary, " at most)");
  GAMUT_CHECK(shard_tokens > 0 && shard_tokens <= INT32_MAX, "a shard of ", shard_tokens,
              " tokens cannot be written; 1 to ", INT32_MAX, " can");
}

ShardWriter::~ShardWriter() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  unlink(temporary_.c_str());
}

void ShardWriter::append(const int64_t* ids, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    GAMUT_CHECK(ids[i] >= 0 && ids[i] < vocab_size_, "id ", ids[i], " of token ", tokens_ + i,
                " is outside of the vocabulary, 0 to ", vocab_size_ - 1);
  }
  while (count > 0) {
    if (descriptor_ < 0) open();
    const auto buffered = static_cast<int64_t>(buffer_.size());
    const int64_t room = std::min<int64_t>(static_cast<int64_t>(kBufferTokens) - buffered,
                                           shard_tokens_ - written_ - buffered);
    const int64_t piece = std::min(count, room);
    for (int64_t i = 0; i < piece; ++i) buffer_.push_back(static_cast<uint16_t>(ids[i]));
    ids += piece, count -= piece, tokens_ += piece;
    if (piece == room) flush();
    if (written_ == shard_tokens_) close();
  }
}

std::vector<fs::path> ShardWriter::finish() {
  if (descriptor_ < 0 && finished_.empty()) open();  // a split without tokens is a shard of none
  if (descriptor_ >= 0) {
    flush();
    close();
  }
  return finished_;
}

void ShardWriter::open() {
  files::ignore_size_signal();
  char number[16];
  std::snprintf(number, sizeof number, "_%06zu", finished_.size());
  const std::string name = prefix_ + number + ".bin";
  final_ = folder_ / name;
  temporary_ = folder_ / c10::str(".", name, ".", getpid(), ".tmp");
  unlink(temporary_.c_str());  // a leftover of a killed process that had the same id
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) files::fail("create", temporary_, errno);
  written_ = 0;
  buffer_.reserve(kBufferTokens);
}

void ShardWriter::flush() {
  write_at(buffer_.data(), 2 * buffer_.size(), kShardHeaderBytes + 2 * written_);
  written_ += static_cast<int64_t>(buffer_.size());
  buffer_.clear();
}

void ShardWriter::close() {
  Header header{};
  header[0] = kShardMagic;
  header[1] = kShardVersion;
  header[2] = static_cast<int32_t>(written_);
  write_at(header.data(), sizeof header, 0);
  if (fsync(descriptor_) != 0) files::fail("flush", temporary_, errno);
  const bool failed = ::close(std::exchange(descriptor_, -1)) != 0 ||
                      rename(temporary_.c_str(), final_.c_str()) != 0;
  if (failed) {
    const int error = errno;
    unlink(temporary_.c_str());
    files::fail("put in place", final_, error);
  }
  files::sync_folder(folder_);
  finished_.push_back(final_);
}

void ShardWriter::write_at(const void* data, size_t bytes, int64_t offset) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = pwrite(descriptor_, next, bytes, offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) files::fail("write", temporary_, done == 0 ? ENOSPC : errno);
    next += done, offset += done, bytes -= static_cast<size_t>(done);
  }
}

}  // namespace gamut::data
