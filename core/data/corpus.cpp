// Finding a finished corpus in the cache, or making one in a temporary folder and renaming it.
#include "data/corpus.h"

#include <gamut/error.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <utility>

#include "data/corpus_split.h"
#include "data/documents.h"
#include "data/token_set.h"
#include "files/file.h"
#include "files/hash.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kFormat = 1;  // raise when the same sources would give other shards
constexpr size_t kPiece = size_t{1} << 20;

std::string hash_of(const std::string& text) {
  return files::xxh3_hex(text.data(), text.size());
}

// Names, sizes and times, not contents: those would have to be read at every start.
std::string source_hash(const std::vector<Document>& documents) {
  std::string lines;
  for (const auto& d : documents) {
    lines += c10::str(d.name, '\0', d.bytes, '\0', d.modified_ns, '\n');
  }
  return hash_of(lines);
}

// What the tokenizer makes of some of the text: tells tokenizers of one name and other options
// apart, without knowing what options there are.
std::string tokenizer_sample(const std::vector<Document>& documents, Tokenizer& tokenizer) {
  for (const auto& document : documents) {
    if (document.bytes == 0 || !unfit(document).empty()) continue;
    const at::Tensor codes = tokenizer.encode(DocumentReader(document).read(size_t{64} << 10));
    return files::xxh3_hex(codes.data_ptr<int64_t>(), static_cast<size_t>(codes.nbytes()));
  }
  return "";
}

// Everything that the shards depend on; its hash names their folder.
json description(const CorpusOptions& o, const std::vector<Document>& documents,
                 Tokenizer& tokenizer) {
  const TokenizerInfo info = tokenizer.info();
  GAMUT_CHECK(!info.is_audio && info.codebooks == 1, "the tokenizer `", o.tokenizer_name,
              "` does not encode text, which a text corpus is made of");
  GAMUT_CHECK(info.special_ids.count("bos"), "the tokenizer `", o.tokenizer_name,
              "` has no `bos` id to begin documents with");
  return {{"format", kFormat},
          {"source",
           {{"path", fs::absolute(o.source).lexically_normal().string()},
            {"files", documents.size()},
            {"hash", source_hash(documents)}}},
          {"tokenizer",
           {{"name", o.tokenizer_name},
            {"version", o.tokenizer_version},
            {"vocab_size", info.vocab_size},
            {"bos", info.special_ids.at("bos")},
            {"sample", tokenizer_sample(documents, tokenizer)}}},
          {"validation", o.validation},
          {"seed", o.seed},
          {"shard_tokens", o.shard_tokens}};
}

// The last part of the path, also of `folder/`.
std::string name_of(const fs::path& source) {
  const fs::path path = fs::absolute(source).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

// The shards of one side while they are written.
struct Side {
  ShardWriter writer;
  int64_t documents = 0, bytes = 0;

  Side(const fs::path& folder, const char* prefix, int64_t vocab_size, int64_t shard_tokens)
      : writer(folder, prefix, vocab_size, shard_tokens) {}

  json finish() {
    json files = json::array();
    for (const auto& file : writer.finish()) files.push_back(file.filename().string());
    return {
        {"documents", documents}, {"bytes", bytes}, {"tokens", writer.tokens()}, {"files", files}};
  }
};

class Builder {
 public:
  Builder(const CorpusOptions& options, Tokenizer& tokenizer, const fs::path& folder)
      : options_(options),
        tokenizer_(tokenizer),
        info_(tokenizer.info()),
        train_(folder, "text_train", info_.vocab_size, options.shard_tokens),
        held_out_(folder, "text_val", info_.vocab_size, options.shard_tokens) {}

  // Adds counts and skipped files to the manifest.
  void build(const std::vector<Document>& all, json& manifest) {
    json skipped = json::array();
    for (const auto& document : all) {
      const std::string reason = unfit(document);
      if (!reason.empty()) skipped.push_back(reason);
      if (reason.empty() && document.bytes > 0) documents_.push_back(document);
    }
    GAMUT_CHECK(!documents_.empty(), "there is no text under ", options_.source.string(), ": ",
                skipped.empty() ? "all files are empty" : skipped[0].get<std::string>());
    if (documents_.size() == 1) {
      build_single();
    } else {
      build_many();
    }
    manifest["train"] = train_.finish();
    if (options_.validation > 0) manifest["held_out"] = held_out_.finish();
    manifest["skipped"] = skipped;
  }

 private:
  void build_many() {
    const auto held = hold_out(documents_, options_.validation, options_.seed);
    for (size_t i = 0; i < documents_.size(); ++i) {
      DocumentReader reader(documents_[i]);
      add(reader, INT64_MAX, held[i] ? held_out_ : train_);
      ++done_;
    }
  }

  // The only document's end is what is held out.
  void build_single() {
    DocumentReader reader(documents_[0]);
    if (options_.validation > 0) {
      add(reader, cut_position(documents_[0], options_.validation), train_);
      add(reader, INT64_MAX, held_out_);
    } else {
      add(reader, INT64_MAX, train_);
    }
    ++done_;
  }

  // One document of at most `limit` bytes from where the reader stands.
  void add(DocumentReader& reader, int64_t limit, Side& side) {
    const int64_t bos = info_.special_ids.at("bos");
    side.writer.append(&bos, 1);
    ++side.documents;
    auto encoder = tokenizer_.new_encoder();
    while (limit > 0) {
      const std::string piece = reader.read(std::min<size_t>(kPiece, static_cast<size_t>(limit)));
      if (piece.empty()) break;
      append(encoder->push(piece), side);
      const auto bytes = static_cast<int64_t>(piece.size());
      limit -= bytes, side.bytes += bytes;
      if (options_.progress) {
        options_.progress(done_, static_cast<int64_t>(documents_.size()),
                          train_.bytes + held_out_.bytes);
      }
    }
    append(encoder->finish(), side);
  }

  static void append(const at::Tensor& codes, Side& side) {
    if (codes.numel() > 0) side.writer.append(codes.data_ptr<int64_t>(), codes.numel());
  }

  const CorpusOptions& options_;
  Tokenizer& tokenizer_;
  TokenizerInfo info_;
  Side train_, held_out_;
  std::vector<Document> documents_;  // that hold text
  int64_t done_ = 0;
};

// Removes the folder unless it was renamed away.
struct TemporaryFolder {
  fs::path path;
  explicit TemporaryFolder(fs::path where) : path(std::move(where)) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

std::vector<fs::path> files_of(const json& side, const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& name : side.at("files")) files.push_back(folder / name.get<std::string>());
  return files;
}

Corpus corpus_at(const fs::path& folder, json manifest) {
  Corpus corpus;
  corpus.train = files_of(manifest.at("train"), folder);
  if (manifest.contains("held_out")) corpus.validation = files_of(manifest["held_out"], folder);
  corpus.manifest = std::move(manifest);
  return corpus;
}

// The corpus in that folder, when all of it is there and agrees with its manifest.
std::optional<Corpus> open_finished(const fs::path& folder, const json& wanted) {
  std::ifstream file(folder / "manifest.json");
  if (!file) return std::nullopt;
  try {
    json manifest = json::parse(file);
    for (const auto& [key, value] : wanted.items()) {
      if (manifest.at(key) != value) return std::nullopt;
    }
    Corpus corpus = corpus_at(folder, std::move(manifest));
    const bool whole = TokenSet(corpus.train).size() == corpus.manifest["train"]["tokens"] &&
                       (corpus.validation.empty() || TokenSet(corpus.validation).size() ==
                                                         corpus.manifest["held_out"]["tokens"]);
    corpus.reused = true;
    if (whole) return corpus;
  } catch (const std::exception&) {
    // Damaged, whatever the reason: it will be made again.
  }
  return std::nullopt;
}

void write_manifest(const fs::path& path, const json& manifest) {
  const std::string text = manifest.dump(2) + "\n";
  files::AtomicFile file(path);
  file.file().write(text.data(), text.size());
  file.commit();
}

// Another process may have made the same folder meanwhile; then one of the two is kept.
void move_into_place(const fs::path& from, const fs::path& to, const json& wanted) {
  if (rename(from.c_str(), to.c_str()) == 0) return files::sync_folder(to.parent_path());
  if (open_finished(to, wanted)) return;
  fs::remove_all(to);
  if (rename(from.c_str(), to.c_str()) != 0) files::fail("put in place", to, errno);
  files::sync_folder(to.parent_path());
}

}  // namespace

Corpus prepare_corpus(const CorpusOptions& options, Tokenizer& tokenizer) {
  GAMUT_CHECK(options.validation >= 0 && options.validation < 1,
              "validation is the share of documents that are held out, 0 or more and below 1, got ",
              options.validation);
  const auto documents = find_documents(options.source);
  json manifest = description(options, documents, tokenizer);
  const json wanted = manifest;
  const std::string name = c10::str(name_of(options.source), "-", options.tokenizer_name, "-",
                                    hash_of(wanted.dump()).substr(0, 16));
  const fs::path folder = options.cache / name;
  if (auto finished = open_finished(folder, wanted)) return *std::move(finished);

  const TemporaryFolder temporary(options.cache / c10::str(".", name, ".", getpid(), ".tmp"));
  Builder(options, tokenizer, temporary.path).build(documents, manifest);
  write_manifest(temporary.path / "manifest.json", manifest);
  move_into_place(temporary.path, folder, wanted);
  return corpus_at(folder, std::move(manifest));
}

}  // namespace gamut::data
