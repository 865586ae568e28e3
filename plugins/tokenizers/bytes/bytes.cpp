// byte260: one token a byte of UTF-8, ids 4..259, after pad 0, bos 1, eos 2 and unk 3. The pure
// byte tokenizer of Parameter Golf.
#include <ATen/ATen.h>
#include <gamut/plugin.h>

#include "utf8.h"

namespace gamut {
namespace {

constexpr int64_t kFirstByte = 4;
constexpr int64_t kVocabulary = kFirstByte + 256;

const std::string& text_of(const RawData& data) {
  const auto* text = std::get_if<std::string>(&data);
  GAMUT_CHECK(text, "the tokenizer `bytes` encodes text, and was given audio");
  return *text;
}

// Bytes -> int64 [1, bytes].
at::Tensor codes_of(const std::string& text) {
  const auto* first = reinterpret_cast<const uint8_t*>(text.data());
  at::Tensor codes = at::empty({1, static_cast<int64_t>(text.size())}, at::kLong);
  auto* out = codes.data_ptr<int64_t>();
  for (size_t i = 0; i < text.size(); ++i) out[i] = kFirstByte + first[i];
  return codes;
}

class BytesEncoder final : public StreamEncoder {
 public:
  at::Tensor push(const RawData& piece) override {
    std::string valid;
    repair_.push(text_of(piece), valid);
    return codes_of(valid);
  }
  at::Tensor finish() override {
    std::string valid;
    repair_.finish(valid);
    return codes_of(valid);
  }

 private:
  bytes::Utf8Repair repair_;
};

class Bytes final : public Tokenizer {
 public:
  static OptionTable options() { return {}; }
  Bytes(const Options&, Host&) {}

  TokenizerInfo info() const override {
    TokenizerInfo info;
    info.vocab_size = kVocabulary;
    info.special_ids = {{"pad", 0}, {"bos", 1}, {"eos", 2}, {"unk", 3}};
    return info;
  }

  at::Tensor encode(const RawData& data) override {
    std::string valid;
    bytes::Utf8Repair repair;
    repair.push(text_of(data), valid);
    repair.finish(valid);
    return codes_of(valid);
  }

  // Exactly the bytes of the ids, even where they are not valid UTF-8: a model may have made them.
  RawData decode(const at::Tensor& codes) override {
    check_ids(codes, "decode");
    const at::Tensor flat = codes.to(at::kCPU, at::kLong).contiguous().view({-1});
    const auto* ids = flat.data_ptr<int64_t>();
    std::string text;
    for (int64_t i = 0; i < flat.numel(); ++i) {
      GAMUT_CHECK(ids[i] >= 0 && ids[i] < kVocabulary, "id ", ids[i], " at step ", i,
                  " is outside of the vocabulary of `bytes`, 0 to ", kVocabulary - 1);
      if (ids[i] >= kFirstByte) text += static_cast<char>(ids[i] - kFirstByte);
    }
    return text;
  }

  std::unique_ptr<StreamEncoder> new_encoder() override { return std::make_unique<BytesEncoder>(); }

  at::Tensor byte_counts(const at::Tensor& previous, const at::Tensor& target) override {
    GAMUT_CHECK(previous.sizes() == target.sizes(), "byte_counts needs as many previous ids as ",
                "targets, got ", previous.sizes(), " and ", target.sizes());
    return target.ge(kFirstByte).to(at::kLong);
  }

 private:
  static void check_ids(const at::Tensor& codes, const char* where) {
    const bool one_row = codes.dim() == 1 || (codes.dim() == 2 && codes.size(0) == 1);
    GAMUT_CHECK(one_row && at::isIntegralType(codes.scalar_type(), /*includeBool=*/false), where,
                " needs integer ids [1, steps] or [steps], got ", codes.dtype(), " ",
                codes.sizes());
  }
};

}  // namespace
}  // namespace gamut

GAMUT_TOKENIZER(gamut::Bytes, "bytes", "1.0.0",
                "One token a byte of UTF-8 (byte260: 4 special ids, then 256 bytes)")
