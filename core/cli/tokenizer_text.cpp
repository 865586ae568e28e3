// Text and ids. Ids are a shard in the format of Parameter Golf, or decimal numbers for people and
// for other programs.
#include <ATen/ATen.h>
#include <gamut/error.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "cli/tokenizer_files.h"
#include "data/documents.h"
#include "data/shard.h"
#include "files/file.h"

namespace gamut::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPiece = size_t{1} << 20;

data::Document document_at(const fs::path& path) {
  data::Document document;
  document.path = path == "-" ? fs::path("/dev/stdin") : path;
  return document;
}

// A file that appears whole or not at all, or standard output.
class Output {
 public:
  explicit Output(const fs::path& path) {
    if (path != "-") file_ = std::make_unique<files::AtomicFile>(path);
  }
  void write(const void* data, size_t bytes) {
    if (file_) return file_->file().write(data, bytes);
    GAMUT_CHECK(std::fwrite(data, 1, bytes, stdout) == bytes,
                "cannot write to standard output: ", std::strerror(errno));
  }
  void finish() {
    if (file_) {
      file_->commit();
    } else {
      GAMUT_CHECK(std::fflush(stdout) == 0,
                  "cannot write to standard output: ", std::strerror(errno));
    }
  }

 private:
  std::unique_ptr<files::AtomicFile> file_;
};

// Where ids go.
class IdSink {
 public:
  virtual ~IdSink() = default;
  virtual void add(const int64_t* ids, int64_t count) = 0;
  virtual void finish() = 0;
};

class NumberSink final : public IdSink {
 public:
  explicit NumberSink(const fs::path& path) : output_(path) {}
  void add(const int64_t* ids, int64_t count) override {
    std::string text;
    for (int64_t i = 0; i < count; ++i) {
      text += std::to_string(ids[i]);
      text += ++written_ % kInLine == 0 ? '\n' : ' ';
    }
    output_.write(text.data(), text.size());
  }
  void finish() override {
    if (written_ % kInLine != 0) output_.write("\n", 1);
    output_.finish();
  }

 private:
  static constexpr int64_t kInLine = 16;
  Output output_;
  int64_t written_ = 0;
};

// One document: its beginning, where the tokenizer has an id for that, and its ids.
class ShardSink final : public IdSink {
 public:
  ShardSink(fs::path path, const TokenizerInfo& info) : path_(std::move(path)) {
    GAMUT_CHECK(info.vocab_size <= data::kMaxVocabulary, "a shard holds ids below ",
                data::kMaxVocabulary, ", and this tokenizer has ", info.vocab_size,
                " of them; give another ending than .bin for decimal numbers");
    const auto bos = info.special_ids.find("bos");
    if (bos != info.special_ids.end()) add(&bos->second, 1);
  }
  void add(const int64_t* ids, int64_t count) override {
    GAMUT_CHECK(static_cast<int64_t>(ids_.size()) + count <= data::kShardTokens,
                "the text has more tokens than a shard holds, ", data::kShardTokens,
                "; `gamut data prepare text_folder` makes as many shards as are needed");
    for (int64_t i = 0; i < count; ++i) ids_.push_back(static_cast<uint16_t>(ids[i]));
  }
  void finish() override {
    int32_t header[data::kShardHeaderBytes / sizeof(int32_t)] = {
        data::kShardMagic, data::kShardVersion, static_cast<int32_t>(ids_.size())};
    Output output(path_);
    output.write(header, sizeof header);
    output.write(ids_.data(), ids_.size() * sizeof(uint16_t));
    output.finish();
  }

 private:
  fs::path path_;
  std::vector<uint16_t> ids_;
};

std::unique_ptr<IdSink> sink_at(const fs::path& path, const TokenizerInfo& info) {
  if (path.extension() == ".bin") return std::make_unique<ShardSink>(path, info);
  return std::make_unique<NumberSink>(path);
}

// Decimal numbers with white space or commas between them.
std::vector<int64_t> numbers_in(const fs::path& path) {
  const data::Document document = document_at(path);
  data::DocumentReader reader(document);
  std::string text;
  for (std::string piece = reader.read(kPiece); !piece.empty(); piece = reader.read(kPiece)) {
    text += piece;
  }
  std::vector<int64_t> ids;
  const char *at = text.data(), *end = at + text.size();
  const auto skip = [&] {
    while (at != end && std::strchr(" \t\r\n,", *at) && *at != '\0') ++at;
    return at != end;
  };
  while (skip()) {
    int64_t id = 0;
    const auto [stop, error] = std::from_chars(at, end, id);
    GAMUT_CHECK(error == std::errc() && (stop == end || std::strchr(" \t\r\n,", *stop)),
                document.path.string(), " holds no ids: at byte ", at - text.data(),
                " there is no decimal number; ids are written so, or as a shard that ends in .bin");
    ids.push_back(id);
    at = stop;
  }
  return ids;
}

at::Tensor ids_in(const fs::path& path) {
  if (path.extension() != ".bin") return at::tensor(numbers_in(path), at::kLong);
  const data::Shard shard(path);
  at::Tensor ids = at::empty({shard.size()}, at::kLong);
  std::copy_n(shard.tokens(), shard.size(), ids.data_ptr<int64_t>());
  return ids;
}

}  // namespace

void encode_text(const TokenizerJob& job) {
  data::DocumentReader reader(document_at(job.from));
  const auto sink = sink_at(job.to, job.tokenizer.info());
  const auto encoder = job.tokenizer.new_encoder();
  int64_t bytes = 0, count = 0;
  const auto take = [&](const at::Tensor& codes) {
    const at::Tensor ids = codes.to(at::kLong).contiguous();
    sink->add(ids.const_data_ptr<int64_t>(), ids.numel());
    count += ids.numel();
  };
  for (std::string piece = reader.read(kPiece); !piece.empty(); piece = reader.read(kPiece)) {
    bytes += static_cast<int64_t>(piece.size());
    take(encoder->push(std::move(piece)));
  }
  take(encoder->finish());
  sink->finish();
  std::fprintf(stderr, "gamut: %lld bytes became %lld ids\n", static_cast<long long>(bytes),
               static_cast<long long>(count));
}

void decode_text(const TokenizerJob& job) {
  const at::Tensor ids = ids_in(job.from);
  const auto text = std::get<std::string>(job.tokenizer.decode(ids.unsqueeze(0)));
  Output output(job.to);
  output.write(text.data(), text.size());
  output.finish();
}

}  // namespace gamut::cli
