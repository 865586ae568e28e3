// A tokenizer of bytes that breaks one clause of its contract on demand.
#include <ATen/ATen.h>
#include <gamut/plugin.h>

#include <mutex>

namespace {

constexpr int64_t kBegin = 256;

class Faulty;

class Stream final : public gamut::StreamEncoder {
 public:
  // With `shared`, all streams hold the last piece back in one place.
  Stream(gamut::Tokenizer& tokenizer, bool loses_ends, at::Tensor* shared)
      : tokenizer_(tokenizer), loses_(loses_ends), shared_(shared) {}
  at::Tensor push(const gamut::RawData& piece) override {
    at::Tensor codes = tokenizer_.encode(piece);
    if (shared_) swap_shared(codes);
    if (loses_ && codes.size(1) > 1) codes = codes.slice(1, 0, -1);
    return codes;
  }
  at::Tensor finish() override {
    at::Tensor rest = at::zeros({1, 0}, at::kLong);
    if (shared_) swap_shared(rest);
    return rest;
  }

 private:
  void swap_shared(at::Tensor& codes) {  // no data race, but wrong all the same
    static std::mutex mutex;
    const std::lock_guard<std::mutex> lock(mutex);
    std::swap(codes, *shared_);
  }

  gamut::Tokenizer& tokenizer_;
  bool loses_;
  at::Tensor* shared_;
};

class Faulty final : public gamut::Tokenizer {
 public:
  static gamut::OptionTable options() {
    return {gamut::option::string("fault", "what to break")
                .value("none")
                .one_of({"none", "lossy", "range", "stream", "special", "counts", "audio", "random",
                         "empty", "normalizes", "shared", "any_codes"})};
  }
  Faulty(const gamut::Options& options, gamut::Host&) : fault_(options.string("fault")) {}

  gamut::TokenizerInfo info() const override {
    gamut::TokenizerInfo info;
    info.vocab_size = is("range") ? 200 : 257;
    info.special_ids = {{"bos", is("range") ? 199 : kBegin}};
    return info;
  }

  at::Tensor encode(const gamut::RawData& data) override {
    const auto* text = std::get_if<std::string>(&data);
    if (!text && is("audio")) return at::zeros({1, 0}, at::kLong);
    GAMUT_CHECK(text, "audio was given to a tokenizer of text");
    std::vector<int64_t> ids;
    for (unsigned char byte : *text) {
      const bool upper = byte >= 'A' && byte <= 'Z';
      ids.push_back(upper && (is("lossy") || is("normalizes")) ? byte - 'A' + 'a' : byte);
    }
    if (is("random") && ++calls_ % 2 == 0) ids.push_back('!');
    if (is("empty") && ids.empty()) ids.push_back('!');
    return at::tensor(ids, at::kLong).reshape({1, static_cast<int64_t>(ids.size())});
  }

  gamut::RawData decode(const at::Tensor& codes) override {
    GAMUT_CHECK(codes.dim() == 2 && codes.size(0) == 1 &&
                    (is("any_codes") || at::isIntegralType(codes.scalar_type(), false)),
                "the codes are ", codes.scalar_type(), " ", codes.sizes());
    std::string text;
    for (int64_t i = 0; i < codes.size(1); ++i) {
      const int64_t id = codes[0][i].item<int64_t>();
      GAMUT_CHECK(id >= 0 && id <= kBegin, "id ", id, " is out of range");
      if (id != kBegin) text += static_cast<char>(id);
      if (id == kBegin && is("special")) text += "<bos>";
    }
    return text;
  }

  std::unique_ptr<gamut::StreamEncoder> new_encoder() override {
    return std::make_unique<Stream>(*this, is("stream"), is("shared") ? &shared_ : nullptr);
  }
  at::Tensor byte_counts(const at::Tensor&, const at::Tensor& target) override {
    return is("counts") ? at::ones_like(target) : target.ne(kBegin).to(at::kLong);
  }
  void* query(std::string_view id) override {
    return id == "text.normalizes/1" && is("normalizes") ? this : nullptr;
  }

 private:
  bool is(const char* fault) const { return fault_ == fault; }
  std::string fault_;
  int calls_ = 0;
  at::Tensor shared_ = at::zeros({1, 0}, at::kLong);
};

}  // namespace

GAMUT_TOKENIZER(Faulty, "faulty_tokenizer", "1.0.0", "Breaks its contract on demand")
