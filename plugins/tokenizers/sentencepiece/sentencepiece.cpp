// SentencePiece models, by the system's library: the tokenizer of Parameter Golf among others.
#include <ATen/ATen.h>
#include <gamut/identity.h>
#include <gamut/plugin.h>
#include <gamut/weights_file.h>
#include <sentencepiece_processor.h>

#include <fstream>
#include <iterator>

#include "byte_table.h"
#include "model_facts.h"
#include "text_cuts.h"
#include "text_encoder.h"
#include "trainer.h"

namespace gamut {
namespace {

using sentencepiece_plugin::ByteTable;
using sentencepiece_plugin::TextCuts;
using sentencepiece_plugin::TextEncoder;

constexpr size_t kWhole = size_t{1} << 16;  // bytes of text that are encoded at once

const std::string& text_of(const RawData& data) {
  const auto* text = std::get_if<std::string>(&data);
  GAMUT_CHECK(text, "the tokenizer `sentencepiece` encodes text, and was given audio");
  return *text;
}

// -> int64 [1, ids].
at::Tensor codes_of(const std::vector<int>& ids) {
  at::Tensor codes = at::empty({1, static_cast<int64_t>(ids.size())}, at::kLong);
  std::copy(ids.begin(), ids.end(), codes.data_ptr<int64_t>());
  return codes;
}

std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  GAMUT_CHECK(file && !bytes.empty(), "cannot read the SentencePiece model `", path,
              "`; train one with `gamut tokenizer train sentencepiece input=TEXTS output=", path,
              "`");
  return bytes;
}

class SentencePieceEncoder final : public StreamEncoder {
 public:
  SentencePieceEncoder(const ::sentencepiece::SentencePieceProcessor& model, const TextCuts& cuts)
      : encoder_(model, cuts) {}
  at::Tensor push(const RawData& piece) override {
    std::vector<int> ids;
    encoder_.push(text_of(piece), ids);
    return codes_of(ids);
  }
  at::Tensor finish() override {
    std::vector<int> ids;
    encoder_.finish("", ids);
    return codes_of(ids);
  }

 private:
  TextEncoder encoder_;
};

class SentencePiece final : public Tokenizer, public Identity {
 public:
  static OptionTable options() {
    return {option::string("model", "path of the model file, as SentencePiece wrote it")};
  }
  static void* plugin_query(std::string_view id) {
    return id == TokenizerTrainer::kId ? static_cast<void*>(&sentencepiece_plugin::trainer())
                                       : nullptr;
  }

  SentencePiece(const Options& options, Host&) {
    const std::string& path = options.string("model");
    const std::string bytes = file_bytes(path);
    try {
      const auto facts = sentencepiece_plugin::read_facts(bytes);
      const auto status = model_.LoadFromSerializedProto(bytes);
      GAMUT_CHECK(status.ok(), "SentencePiece says: ", status.error_message());
      cuts_ = std::make_unique<TextCuts>(model_, facts);
    } catch (const Error& error) {
      throw Error("cannot use the SentencePiece model `" + path + "`: " + error.what());
    }
    table_ = std::make_unique<ByteTable>(model_);
    sha256_ = file_sha256(path);
  }

  TokenizerInfo info() const override {
    TokenizerInfo info;
    info.vocab_size = model_.GetPieceSize();
    const std::pair<const char*, int> ids[] = {{"pad", model_.pad_id()},
                                               {"bos", model_.bos_id()},
                                               {"eos", model_.eos_id()},
                                               {"unk", model_.unk_id()}};
    for (const auto& [name, id] : ids) {
      if (id >= 0) info.special_ids[name] = id;
    }
    return info;
  }

  // Long text goes in blocks, see TextEncoder.
  at::Tensor encode(const RawData& data) override {
    const std::string_view text = text_of(data);
    TextEncoder encoder(model_, *cuts_);
    std::vector<int> ids;
    if (text.size() > kWhole) {
      encoder.push(text, ids);
      encoder.finish("", ids);
    } else {
      encoder.finish(text, ids);
    }
    return codes_of(ids);
  }

  RawData decode(const at::Tensor& codes) override {
    const bool one_row = codes.dim() == 1 || (codes.dim() == 2 && codes.size(0) == 1);
    GAMUT_CHECK(one_row && at::isIntegralType(codes.scalar_type(), /*includeBool=*/false),
                "decode needs integer ids [1, steps] or [steps], got ", codes.dtype(), " ",
                codes.sizes());
    const at::Tensor flat = codes.to(at::kCPU, at::kLong).contiguous().view({-1});
    std::vector<int> ids;
    ids.reserve(static_cast<size_t>(flat.numel()));
    for (int64_t i = 0; i < flat.numel(); ++i) append(flat.const_data_ptr<int64_t>()[i], i, ids);
    std::string text;
    const auto status = model_.Decode(ids, &text);
    GAMUT_CHECK(status.ok(), "SentencePiece cannot decode these ids: ", status.error_message());
    return text;
  }

  std::unique_ptr<StreamEncoder> new_encoder() override {
    return std::make_unique<SentencePieceEncoder>(model_, *cuts_);
  }

  at::Tensor byte_counts(const at::Tensor& previous, const at::Tensor& target) override {
    return table_->counts(previous, target);
  }

  std::map<std::string, std::string> identity() const override {
    return {{"model_sha256", sha256_}};
  }

  void* query(std::string_view id) override {
    if (id == Identity::kId) return static_cast<Identity*>(this);
    return id == "text.normalizes/1" ? this : nullptr;
  }

 private:
  // All but what stands for no text.
  void append(int64_t id, int64_t step, std::vector<int>& ids) const {
    const int count = model_.GetPieceSize();
    GAMUT_CHECK(id >= 0 && id < count, "id ", id, " at step ", step,
                " is outside of the model's vocabulary, 0 to ", count - 1);
    const int piece = static_cast<int>(id);
    const bool silent =
        model_.IsControl(piece) || model_.IsUnknown(piece) || model_.IsUnused(piece);
    if (!silent) ids.push_back(piece);
  }

  // Once loaded it is only read, which several threads may do.
  ::sentencepiece::SentencePieceProcessor model_;
  std::unique_ptr<TextCuts> cuts_;
  std::unique_ptr<ByteTable> table_;
  std::string sha256_;
};

}  // namespace
}  // namespace gamut

GAMUT_TOKENIZER(gamut::SentencePiece, "sentencepiece", "1.0.0",
                "SentencePiece models (BPE, unigram, words, characters), and their training")
