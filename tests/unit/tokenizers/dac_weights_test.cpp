// DAC's parts: layouts of weights and their refusals, sizes from files, inner values of the model.
#include <unistd.h>

#include <filesystem>

#include "dac/codec.h"
#include "dac/quantizer.h"
#include "dac/shape.h"
#include "dac/weights.h"
#include "dac_support.h"

namespace gamut {
namespace {

using at::Tensor;
using namespace test;  // NOLINT(google-build-using-namespace)
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

dac::Shape tiny_shape() {
  dac::Shape shape;
  shape.encoder_dim = 6;
  shape.latent_dim = 96;
  shape.decoder_dim = 48;
  return shape;
}

NamedTensors tensors_of(const std::string& layout) {
  return checkpoint::read_safetensors(codec_data("dac_tiny_" + layout + ".safetensors"));
}

TEST(DacWeights, BothLayoutsAreOneModel) {
  const auto original = dac::load_weights(tiny_shape(), tensors_of("orig"), "a");
  const auto transformers = dac::load_weights(tiny_shape(), tensors_of("hf"), "b");
  ASSERT_EQ(original.size(), transformers.size());
  for (const auto& [name, tensor] : transformers) {
    EXPECT_LE(largest_difference(original.at(name), tensor), 1e-6) << name;
  }
}

TEST(DacWeights, TakesTheNewerNamesOfWeightNormAndThePrefixOfAPth) {
  auto tensors = tensors_of("orig");
  const auto expected = dac::load_weights(tiny_shape(), tensors, "a");
  for (auto& [name, tensor] : tensors) {
    const auto at = name.find(".weight_");
    if (at != name.npos) {
      const bool direction = name.back() == 'v';
      name = name.substr(0, at) + ".parametrizations.weight.original" + (direction ? "1" : "0");
    }
    name = "state_dict." + name;
  }
  const auto got = dac::load_weights(tiny_shape(), tensors, "b");
  for (const auto& [name, tensor] : expected) EXPECT_TRUE(got.at(name).equal(tensor)) << name;
}

TEST(DacWeights, TakesHalfPrecision) {
  auto tensors = tensors_of("hf");
  for (auto& entry : tensors) entry.tensor = entry.tensor.to(at::kHalf);
  const auto weights = dac::load_weights(tiny_shape(), tensors, "a");
  EXPECT_EQ(weights.at("encoder.conv1.weight").scalar_type(), at::kFloat);
}

// Counts and shapes of the reference: 301 tensors with 76,651,890 numbers, 223 with 76,620,777.
TEST(DacWeights, FullSizesAreThePublishedOnes) {
  const struct {
    const char *variant, *layout;
    int64_t tensors, numbers;
  } cases[] = {{"44khz", "original", 301, 76651890},
               {"44khz", "transformers", 223, 76620777},
               {"44khz_16kbps", "original", 364, 64213250},
               {"24khz", "original", 462, 74708706},
               {"16khz", "original", 322, 74175906}};
  for (const auto& c : cases) {
    const auto expected = dac::expected_tensors(dac::variant(c.variant), c.layout);
    int64_t numbers = 0;
    for (const auto& e : expected) numbers += c10::multiply_integers(e.shape);
    EXPECT_EQ(static_cast<int64_t>(expected.size()), c.tensors) << c.variant;
    EXPECT_EQ(numbers, c.numbers) << c.variant;
  }
}

TEST(DacWeights, WrongOnesAreRefusedInOneSentence) {
  auto tensors = tensors_of("orig");
  for (auto& [name, tensor] : tensors) {
    if (name == "encoder.block.0.bias") name = "encoder.block.0.biased";
    if (name == "decoder.model.0.weight_v") tensor = tensor.transpose(0, 1);
    if (name == "quantizer.quantizers.3.codebook.weight") tensor = tensor.to(at::kInt);
  }
  try {
    dac::load_weights(tiny_shape(), tensors, "file");
    FAIL() << "they were taken";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_THAT(text,
                HasSubstr("file, read as DAC of 44100 Hz with 9 codebooks (layout: original)"));
    EXPECT_THAT(text, HasSubstr("1 missing: `encoder.block.0.bias`"));
    EXPECT_THAT(text, HasSubstr("1 unexpected: `encoder.block.0.biased`"));
    EXPECT_THAT(text, HasSubstr("2 misshapen, the first `quantizer.quantizers.3.codebook.weight`"));
  }
}

TEST(DacWeights, OfAnotherVariantOrCodecAreRefused) {
  const auto error_of = [](const OptionMap& options) -> std::string {
    try {
      make_dac(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "(none)";
  };
  const auto tiny = codec_data("dac_tiny_orig.safetensors");
  EXPECT_THAT(
      error_of({{"weights", tiny}, {"variant", std::string("16khz")}}),
      AllOf(HasSubstr("misshapen, the first `encoder.block.0.bias`, which is [6] and should be"),
            Not(HasSubstr("neither"))));
  const auto alone = std::filesystem::path(::testing::TempDir()) / c10::str("dac_", getpid());
  std::filesystem::create_directories(alone);
  std::filesystem::copy_file(codec_data("dac_tiny_hf.safetensors"), alone / "m.safetensors");
  EXPECT_THAT(error_of({{"weights", (alone / "m.safetensors").string()}}),
              HasSubstr("since neither variant=NAME nor a config.json beside it tells its sizes"));
  std::filesystem::remove_all(alone);
  EXPECT_THAT(error_of({{"weights", codec_data("encodec_tiny_hf.safetensors")}}),
              HasSubstr("missing, the first"));
  EXPECT_THAT(error_of({{"weights", codec_data("dac_tiny_orig.pth")}}),
              HasSubstr("dac_tiny_orig.pth is a zip archive"));
  EXPECT_THAT(error_of({{"weights", tiny}, {"codebooks", int64_t{10}}}), HasSubstr("more than"));
  EXPECT_THAT(error_of({{"weights", tiny}, {"device", std::string("tpu")}}), HasSubstr("device"));
  EXPECT_THAT(error_of({{"weights", tiny}, {"encoder_rates", std::vector<int64_t>{2, 4}}}),
              HasSubstr("same product"));
}

TEST(DacParts, LatentsAreThePackages) {
  const dac::Shape shape = tiny_shape();
  const auto weights = dac::load_weights(shape, tensors_of("orig"), "tiny");
  const auto &wav = dac_fixture("input_wav"), &latent = dac_fixture("encoder_latent"),
             &projected = dac_fixture("projected_latents"), &quantized = dac_fixture("quantized");
  const dac::Codec codec(shape, weights, at::kCPU);
  for (int64_t item = 0; item < wav.size(0); ++item) {
    dac::Pass pass(codec.encoder);
    const Tensor x = at::constant_pad_nd(wav[item][0], {0, 335}).unsqueeze(1);
    const Tensor got = pass.push(x, true);
    EXPECT_LE(largest_difference(got.t(), latent[item]), 1e-4);
    Tensor looked_up;
    const Tensor codes = codec.quantizer.encode(got, 9, &looked_up);
    EXPECT_LE(largest_difference(looked_up.t(), projected[item]), 1e-4);
    EXPECT_LE(largest_difference(codec.quantizer.decode(codes).t(), quantized[item]), 1e-4);
  }
}

// Equal entries: the first one is the code.
TEST(DacParts, OfEqualEntriesTheFirstIsTaken) {
  const dac::Shape shape = tiny_shape();
  auto weights = dac::load_weights(shape, tensors_of("orig"), "tiny");
  for (auto& [name, tensor] : weights) {
    if (name.find("codebook") != name.npos)
      tensor = at::cat({tensor.slice(0, 0, 512), tensor.slice(0, 0, 512)});
  }
  const dac::Quantizer quantizer(shape, weights, at::kCPU);
  EXPECT_LT(quantizer.encode(at::randn({200, 96}), 9).max().item<int64_t>(), 512);
}

// One frame's code depends on that frame alone, to the bit.
TEST(DacParts, FramesAreQuantizedByThemselves) {
  const dac::Shape shape = tiny_shape();
  const dac::Quantizer quantizer(shape, dac::random_weights(shape, 3), at::kCPU);
  const Tensor latents = at::randn({70, 96});
  Tensor whole, part;
  quantizer.encode(latents, 9, &whole);
  for (const int64_t frames : {1, 2, 17}) {
    quantizer.encode(latents.slice(0, 20, 20 + frames), 9, &part);
    EXPECT_TRUE(part.equal(whole.slice(0, 20, 20 + frames))) << frames;
  }
}

}  // namespace
}  // namespace gamut
