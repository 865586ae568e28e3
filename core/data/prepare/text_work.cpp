// A stream encoder a document, so that one of any length needs memory for its tokens only.
#include "data/prepare/text_work.h"

#include <ATen/ATen.h>

#include <map>
#include <utility>

#include "data/corpus_split.h"
#include "data/shard.h"

namespace gamut::data {
namespace {

using nlohmann::json;

constexpr size_t kPiece = size_t{1} << 20;

// What a unit gives to one side of the split.
struct Side {
  std::vector<uint16_t> tokens;
  int64_t documents = 0, bytes = 0;

  void append(const at::Tensor& ids, int64_t vocab_size) {
    if (ids.numel() == 0) return;
    const at::Tensor row = ids.to(at::kCPU, at::kLong).contiguous();
    const int64_t* values = row.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < row.numel(); ++i) {
      GAMUT_CHECK(values[i] >= 0 && values[i] < vocab_size, "the tokenizer gave the id ", values[i],
                  ", which is outside of its vocabulary of ", vocab_size);
      tokens.push_back(static_cast<uint16_t>(values[i]));
    }
  }
};

class TextSink : public ShardSink {
 public:
  TextSink(std::filesystem::path folder, std::string prefix, int64_t vocab_size,
           int64_t shard_tokens)
      : folder_(std::move(folder)),
        prefix_(std::move(prefix)),
        vocab_size_(vocab_size),
        shard_tokens_(shard_tokens) {}

  void add(const Unit& /*unit*/, Part part) override {
    Split& split = splits_.try_emplace(part.split).first->second;
    if (!split.writer) {
      const std::string name = prefix_.empty() ? part.split : prefix_ + "_" + part.split;
      split.writer = std::make_unique<ShardWriter>(folder_, name, vocab_size_, shard_tokens_);
    }
    const std::vector<int64_t> ids(part.tokens.begin(), part.tokens.end());
    split.writer->append(ids.data(), static_cast<int64_t>(ids.size()));
    split.documents += part.facts.at("documents").get<int64_t>();
    split.bytes += part.facts.at("bytes").get<int64_t>();
  }

  json finish() override {
    json splits = json::object();
    for (auto& [name, split] : splits_) {
      json files = json::array();
      for (const auto& file : split.writer->finish()) files.push_back(file.filename().string());
      splits[name] = {{"documents", split.documents},
                      {"bytes", split.bytes},
                      {"tokens", split.writer->tokens()},
                      {"files", std::move(files)}};
    }
    return splits;
  }

 private:
  struct Split {
    std::unique_ptr<ShardWriter> writer;
    int64_t documents = 0, bytes = 0;
  };
  std::filesystem::path folder_;
  std::string prefix_;
  int64_t vocab_size_, shard_tokens_;
  std::map<std::string, Split> splits_;
};

}  // namespace

TextWork::TextWork(Tokenizer& tokenizer, TextWorkOptions options)
    : tokenizer_(tokenizer), info_(tokenizer.info()), options_(std::move(options)) {
  const std::string& name = options_.tokenizer.name;
  GAMUT_CHECK(!info_.is_audio && info_.codebooks == 1, "the tokenizer `", name,
              "` does not encode text, which this data set is made of");
  GAMUT_CHECK(info_.special_ids.count("bos"), "the tokenizer `", name,
              "` has no `bos` id to begin documents with");
  GAMUT_CHECK(info_.vocab_size <= kMaxVocabulary, "the tokenizer `", name, "` has ",
              info_.vocab_size, " ids; a token shard holds up to ", kMaxVocabulary);
  GAMUT_CHECK(options_.validation >= 0 && options_.validation < 1,
              "validation is the share of documents that are held out, 0 or more and below 1, not ",
              options_.validation);
}

json TextWork::description() const {
  return {{"tokenizer", options_.tokenizer.to_json()},
          {"text",
           {{"vocab_size", info_.vocab_size},
            {"bos", info_.special_ids.at("bos")},
            {"validation", options_.validation},
            {"seed", options_.seed},
            {"shard_tokens", options_.shard_tokens},
            {"prefix", options_.prefix}}}};
}

UnitResult TextWork::run(const Unit& unit, UnitContext& context) const {
  const auto source = open_documents(unit);
  std::map<std::string, Side> sides;
  while (source->next()) {
    context.check();
    const bool held = options_.validation > 0 &&
                      split_position(source->key(), options_.seed) < options_.validation;
    Side& side = sides[!unit.split.empty() ? unit.split : held ? "val" : "train"];
    side.tokens.push_back(static_cast<uint16_t>(info_.special_ids.at("bos")));
    ++side.documents;
    const auto encoder = tokenizer_.new_encoder();
    for (std::string piece = source->read(kPiece); !piece.empty(); piece = source->read(kPiece)) {
      context.check();
      side.bytes += static_cast<int64_t>(piece.size());
      side.append(encoder->push(std::move(piece)), info_.vocab_size);
    }
    side.append(encoder->finish(), info_.vocab_size);
  }
  UnitResult result;
  result.source = source->facts();
  for (auto& [split, side] : sides) {
    result.parts.push_back(
        {split, std::move(side.tokens), {{"documents", side.documents}, {"bytes", side.bytes}}});
  }
  if (result.parts.empty()) {
    result.skipped = result.source.value("first_skipped", "it holds no documents");
  }
  return result;
}

std::unique_ptr<ShardSink> TextWork::new_sink(const std::filesystem::path& folder) const {
  return std::make_unique<TextSink>(folder, options_.prefix, info_.vocab_size,
                                    options_.shard_tokens);
}

json TextWork::summary(const json& splits) const {
  json stats = json::object();
  for (const auto& [split, counts] : splits.items()) {
    stats["files_" + split] = counts.at("files").size();
    stats["docs_" + split] = counts.at("documents");
    stats["tokens_" + split] = counts.at("tokens");
  }
  const std::string name = c10::str(options_.tokenizer.name, "_", info_.vocab_size);
  json tokenizer = {{"name", name}, {"kind", options_.tokenizer.name}};
  json set = {{"name", options_.prefix},
              {"tokenizer_name", name},
              {"tokenizer_kind", options_.tokenizer.name},
              {"stats", std::move(stats)}};
  for (json* entry : {&tokenizer, &set}) {
    (*entry)["vocab_size"] = info_.vocab_size;
    for (const char* id : {"bos", "eos"}) {
      const auto found = info_.special_ids.find(id);
      (*entry)[std::string(id) + "_id"] =
          found == info_.special_ids.end() ? json() : json(found->second);
    }
  }
  return {{"datasets", json::array({std::move(set)})},
          {"tokenizers", json::array({std::move(tokenizer)})}};
}

}  // namespace gamut::data
