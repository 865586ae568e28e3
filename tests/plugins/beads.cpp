// A tokenizer of audio that costs nothing: a frame is 80 samples at 8 kHz, its codes are their mean
// and their peak in 1024 steps. For tests of what is built around tokenizers.
#include <ATen/ATen.h>
#include <gamut/codec.h>
#include <gamut/identity.h>
#include <gamut/plugin.h>

#include <chrono>
#include <thread>

namespace {

constexpr int64_t kHop = 80, kRate = 8000, kCodes = 1024;

// [1, n * kHop] -> int64 [2, n]
at::Tensor codes_of(const at::Tensor& samples) {
  const at::Tensor frames = samples.reshape({-1, kHop});
  const at::Tensor rows = at::stack({frames.mean(1), frames.abs().amax(1)});
  return ((rows + 1) * 511.5).round().clamp(0, kCodes - 1).to(at::kLong);
}

class Stream final : public gamut::StreamEncoder {
 public:
  explicit Stream(int64_t slow_ms) : slow_ms_(slow_ms) {}
  at::Tensor push(const gamut::RawData& piece) override {
    const auto* given = std::get_if<gamut::Audio>(&piece);
    GAMUT_CHECK(given && given->sample_rate == kRate && given->samples.size(0) == 1,
                "beads encodes mono audio at 8000 Hz");
    const gamut::Audio& audio = *given;
    if (slow_ms_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(slow_ms_));
    const at::Tensor all = at::cat({rest_, audio.samples}, 1);
    const int64_t whole = all.size(1) / kHop * kHop;
    rest_ = all.slice(1, whole).clone();
    return codes_of(all.slice(1, 0, whole));
  }
  at::Tensor finish() override {
    const int64_t missing = (kHop - rest_.size(1) % kHop) % kHop;
    return codes_of(at::constant_pad_nd(rest_, {0, missing}));
  }

 private:
  int64_t slow_ms_;
  at::Tensor rest_ = at::zeros({1, 0});
};

class Decoder final : public gamut::StreamDecoder {
 public:
  at::Tensor push(const at::Tensor& codes) override {
    return (codes.slice(0, 0, 1).to(at::kFloat) / 511.5 - 1).repeat_interleave(kHop, 1);
  }
  at::Tensor finish() override { return at::zeros({1, 0}); }
};

class Beads final : public gamut::Tokenizer, public gamut::AudioCodec, public gamut::Identity {
 public:
  static gamut::OptionTable options() {
    return {
        gamut::option::integer("slow_ms", "milliseconds to wait at each piece")
            .value(int64_t{0})
            .at_least(0),
        gamut::option::string("device", "where it would run").value("cpu"),
        gamut::option::integer("version", "what its identity tells").value(int64_t{1}).at_least(1)};
  }
  Beads(const gamut::Options& options, gamut::Host&)
      : slow_ms_(options.integer("slow_ms")), version_(options.integer("version")) {}

  gamut::TokenizerInfo info() const override { return {kCodes, 2, true, 100.0, kRate, {}}; }
  at::Tensor encode(const gamut::RawData& data) override {
    Stream stream(0);
    const at::Tensor front = stream.push(data);
    return at::cat({front, stream.finish()}, 1);
  }
  gamut::RawData decode(const at::Tensor& codes) override {
    return gamut::Audio{Decoder().push(codes), kRate};
  }
  std::unique_ptr<gamut::StreamEncoder> new_encoder() override {
    return std::make_unique<Stream>(slow_ms_);
  }
  at::Tensor byte_counts(const at::Tensor&, const at::Tensor&) override { return {}; }

  int64_t channels() const override { return 1; }
  int64_t hop_length() const override { return kHop; }
  int64_t steps(int64_t samples) const override { return (samples + kHop - 1) / kHop; }
  int64_t samples(int64_t steps) const override { return steps * kHop; }
  std::unique_ptr<gamut::StreamDecoder> new_decoder() override {
    return std::make_unique<Decoder>();
  }
  std::map<std::string, std::string> identity() const override {
    return {{"version", std::to_string(version_)}};
  }
  void* query(std::string_view id) override {
    if (id == gamut::AudioCodec::kId) return static_cast<gamut::AudioCodec*>(this);
    if (id == gamut::Identity::kId) return static_cast<gamut::Identity*>(this);
    return nullptr;
  }

 private:
  int64_t slow_ms_, version_;
};

}  // namespace

GAMUT_TOKENIZER(Beads, "beads", "1.0.0", "Means and peaks of audio, for tests")
