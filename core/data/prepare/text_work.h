// Documents to tokens: each becomes BOS and its tokens, whole on one side of the split.
#pragma once

#include "data/codes/description.h"
#include "data/prepare/unit.h"

namespace gamut::data {

// The documents of a unit, one after the other.
class DocumentSource {
 public:
  virtual ~DocumentSource() = default;
  // Goes to the next document; false when there is none. Throws gamut::Error for what is no text.
  virtual bool next() = 0;
  // What decides the split of the current document: its name, or its file and place in there.
  virtual std::string key() const = 0;
  // The next piece of the current document, at most about `bytes`; "" at its end.
  virtual std::string read(size_t bytes) = 0;
  // At the end: what the manifest says of the unit, such as documents that could not be read.
  virtual nlohmann::json facts() const { return nlohmann::json::object(); }
};

// By the unit's facts, all formats also as .gz. {"format": "text"}: the file is one document.
// {"format": "lines", "field": "text", "begin": 0, "end": 1000000}: JSON lines, those that begin in
// that range of (unpacked) bytes; without a range all. {"format": "parquet", "field": "text",
// "begin": 0, "end": 5000}: rows of a column. "file": what the file is called in keys, by default
// as the unit.
std::unique_ptr<DocumentSource> open_documents(const Unit& unit);

struct TextWorkOptions {
  TokenizerRecord tokenizer;
  double validation = 0;  // share of documents held out, of units that have no split
  uint64_t seed = 0;      // of that
  int64_t shard_tokens = 100'000'000;
  std::string prefix;  // shards are called <prefix>_<split>_000000.bin; "": without it
};

// A unit is a range of documents of a file (see unit.h). The tokenizer outlives this object.
class TextWork : public UnitWork {
 public:
  // Throws gamut::Error for a tokenizer of audio, or without a `bos` id.
  TextWork(Tokenizer& tokenizer, TextWorkOptions options);

  nlohmann::json description() const override;
  UnitResult run(const Unit& unit, UnitContext& context) const override;
  std::unique_ptr<ShardSink> new_sink(const std::filesystem::path& folder) const override;
  // What a manifest of Parameter Golf says of a data set and its tokenizer.
  nlohmann::json summary(const nlohmann::json& splits) const override;

 private:
  Tokenizer& tokenizer_;
  TokenizerInfo info_;
  TextWorkOptions options_;
};

}  // namespace gamut::data
