// Construction from options, and the tokenizer's contract over the codec.
#include "dac.h"

#include <ATen/ATen.h>
#include <gamut/weights_file.h>

#include "checks.h"
#include "shape.h"
#include "weights.h"

namespace gamut::dac {

using at::Tensor;

namespace {

at::Device device_of(const std::string& name) {
  GAMUT_CHECK(name == "cpu" || name.compare(0, 4, "cuda") == 0, "device = `", name,
              "` must be cpu, cuda or cuda:INDEX");
  if (name == "cpu") return at::kCPU;
  GAMUT_CHECK(at::hasCUDA(), "device = ", name, ", and this LibTorch sees no GPU");
  const bool numbered = name.size() > 5 && name[4] == ':' &&
                        name.find_first_not_of("0123456789", 5) == std::string::npos;
  GAMUT_CHECK(name.size() == 4 || (numbered && name.size() < 8), "device = `", name,
              "` must be cpu, cuda or cuda:INDEX");
  return {at::kCUDA,
          static_cast<c10::DeviceIndex>(name.size() == 4 ? 0 : std::stoi(name.substr(5)))};
}

class Encoder final : public StreamEncoder {
 public:
  Encoder(const Codec& codec, int64_t codebooks) : codec_(codec), encoder_(codec, codebooks) {}
  Tensor push(const RawData& piece) override {
    const Tensor samples = mono_samples(piece, codec_.shape.sample_rate, seen_);
    seen_ += samples.size(0);
    return encoder_.push(samples);
  }
  Tensor finish() override { return encoder_.finish(); }

 private:
  const Codec& codec_;
  BlockEncoder encoder_;
  int64_t seen_ = 0;
};

class Decoder final : public StreamDecoder {
 public:
  explicit Decoder(const Codec& codec) : codec_(codec), decoder_(codec) {}
  Tensor push(const Tensor& codes) override {
    const Tensor checked = checked_codes(codes, codec_.shape, seen_);
    GAMUT_CHECK(rows_ == 0 || rows_ == checked.size(0), "the pieces of a stream need as many ",
                "codebooks as the first one, ", rows_, ", not ", checked.size(0));
    rows_ = checked.size(0);
    seen_ += checked.size(1);
    return decoder_.push(checked).unsqueeze(0);
  }
  Tensor finish() override {
    return seen_ == 0 ? at::empty({1, 0}) : decoder_.finish().unsqueeze(0);
  }

 private:
  const Codec& codec_;
  BlockDecoder decoder_;
  int64_t seen_ = 0, rows_ = 0;
};

}  // namespace

OptionTable Dac::options() {
  OptionTable table = {
      option::string("weights",
                     "safetensors file of a published or fine-tuned model, in the original or "
                     "transformers' layout (`gamut convert` makes one of a .pth), or `random`"),
      option::string("variant",
                     "published model whose sizes hold; by default those that the file "
                     "or the configuration beside it tells, else 44khz")
          .one_of(variant_names())
          .optional(),
      option::integer("codebooks", "leading codebooks that encoding gives; all when absent")
          .at_least(1)
          .optional(),
      option::integer("seed", "of weights = random").value(int64_t{0}).at_least(0),
      option::string("device", "cpu, cuda or cuda:INDEX").value("cpu")};
  for (auto& spec : shape_options()) table.push_back(std::move(spec));
  return table;
}

Dac::Dac(const Options& options, Host& /*host*/)
    : weights_(options.string("weights")), seed_(options.integer("seed")) {
  const bool random = weights_ == "random";
  const at::Device device = device_of(options.string("device"));
  const WeightsFile file = random ? WeightsFile() : read_weights(weights_);
  const Shape shape = shape_of(options, weights_, file.metadata);
  shape_name_ = options.has("variant") ? options.string("variant") : "44khz";
  codebooks_ = options.has("codebooks") ? options.integer("codebooks") : shape.codebooks;
  GAMUT_CHECK(codebooks_ <= shape.codebooks, "codebooks = ", codebooks_,
              " is more than the model has, ", shape.codebooks);
  codec_ = std::make_unique<const Codec>(
      shape, random ? random_weights(shape, seed_) : load_weights(shape, file.tensors, weights_),
      device);
}

TokenizerInfo Dac::info() const {
  const Shape& shape = codec_->shape;
  TokenizerInfo info;
  info.vocab_size = shape.codebook_size;
  info.codebooks = codebooks_;
  info.is_audio = true;
  info.sample_rate = shape.sample_rate;
  info.frame_rate =
      static_cast<double>(shape.sample_rate) / static_cast<double>(shape.hop_length());
  return info;
}

Tensor Dac::encode(const RawData& data) {
  return dac::encode(*codec_, mono_samples(data, codec_->shape.sample_rate, 0), codebooks_);
}

RawData Dac::decode(const Tensor& codes) {
  const Tensor checked = checked_codes(codes, codec_->shape, 0);
  return Audio{dac::decode(*codec_, checked).unsqueeze(0), codec_->shape.sample_rate};
}

std::unique_ptr<StreamEncoder> Dac::new_encoder() {
  return std::make_unique<Encoder>(*codec_, codebooks_);
}

std::unique_ptr<StreamDecoder> Dac::new_decoder() {
  return std::make_unique<Decoder>(*codec_);
}

Tensor Dac::byte_counts(const Tensor& /*previous*/, const Tensor& /*target*/) {
  return {};
}

int64_t Dac::steps(int64_t samples) const {
  return (samples + hop_length() - 1) / hop_length();
}

void* Dac::query(std::string_view id) {
  if (id == AudioCodec::kId) return static_cast<AudioCodec*>(this);
  if (id == CodeFiles::kId) return static_cast<CodeFiles*>(this);
  if (id == Identity::kId) return static_cast<Identity*>(this);
  return nullptr;
}

std::map<std::string, std::string> Dac::identity() const {
  if (weights_ == "random") {
    auto drawn = sizes_beside(shape_name_, codec_->shape);
    drawn.insert(
        {{"weights", "random"}, {"seed", std::to_string(seed_)}, {"variant", shape_name_}});
    return drawn;
  }
  std::call_once(hashed_, [this] { sha256_ = file_sha256(weights_); });
  return {{"weights_sha256", sha256_}};
}

}  // namespace gamut::dac

GAMUT_TOKENIZER(gamut::dac::Dac, "dac", "1.0.0",
                "Descript Audio Codec at 16, 24 and 44.1 kHz: audio to 9 to 32 codebooks and back")
