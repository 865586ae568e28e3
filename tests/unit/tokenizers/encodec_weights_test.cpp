// EnCodec's weights in every published layout, random ones, and the files and sizes that are
// refused; the form for other devices beside the one of the CPU.
#include <gmock/gmock.h>
#include <unistd.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "encodec/model.h"
#include "encodec_support.h"

namespace gamut::encodec_test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A folder that goes away.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / c10::str("encodec_", getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// Sizes of encodec_tiny, as options.
OptionMap tiny_options(const std::string& weights) {
  return {{"weights", weights},
          {"n_filters", int64_t{4}},
          {"dimension", int64_t{16}},
          {"n_codebooks", int64_t{8}}};
}

NamedTensors tiny_weights() {
  return Values("encodec_tiny_hf.safetensors").all();
}

// The weights with each name replaced by rename(name), in a file.
std::string write_renamed(const Folder& folder,
                          const std::function<std::string(const std::string&)>& rename) {
  NamedTensors renamed;
  for (const auto& entry : tiny_weights()) renamed.push_back({rename(entry.name), entry.tensor});
  const std::string path = folder / "renamed.safetensors";
  checkpoint::write_safetensors(path, renamed);
  return path;
}

void expect_reference_codes(const std::string& weights) {
  const Values values("encodec_tiny_io.safetensors");
  auto tokenizer = make(tiny_options(weights));
  const at::Tensor codes = tokenizer->encode(Audio{values["input_wav"][0], 24000});
  EXPECT_TRUE(at::equal(codes, values["codes"][0]));
  EXPECT_LT(largest_difference(samples_of(tokenizer->decode(codes)), values["audio"][0]), 1e-4);
}

TEST(EncodecWeights, AreReadInEveryLayout) {
  const Folder folder;
  const auto maps = nlohmann::json::parse(bytes_of(data_file("encodec_tiny_names.json")));
  for (const char* layout : {"hf_to_orig", "hf_to_hf_legacy"}) {
    SCOPED_TRACE(layout);
    expect_reference_codes(
        write_renamed(folder, [&](const auto& name) { return maps[layout][name]; }));
  }
  expect_reference_codes(
      write_renamed(folder, [](const auto& name) { return "audio_encoder." + name; }));
}

std::string refusal(const OptionMap& options) {
  try {
    make(options);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST(EncodecWeights, ThatDoNotFitAreRefusedWithTheFirstOfEachKind) {
  const Folder folder;
  NamedTensors changed;
  for (const auto& entry : tiny_weights()) {
    if (entry.name == "encoder.layers.3.conv.bias") continue;
    const bool misshapen = entry.name == "decoder.layers.15.conv.bias";
    changed.push_back({entry.name, misshapen ? at::zeros({2}) : entry.tensor});
  }
  changed.push_back({"encoder.layers.99.weight", at::zeros({1})});
  const std::string path = folder / "changed.safetensors";
  checkpoint::write_safetensors(path, changed);
  EXPECT_THAT(
      refusal(tiny_options(path)),
      AllOf(HasSubstr(path), HasSubstr("1 missing: `encoder.layers.3.conv.bias`"),
            HasSubstr("1 unexpected: `encoder.layers.99.weight`"),
            HasSubstr("1 misshapen: `decoder.layers.15.conv.bias`, which is [2] and should be [1]"),
            HasSubstr("transformers' names"), HasSubstr("n_filters 4")));
  OptionMap of_dac = tiny_options(data_file("dac_tiny_hf.safetensors"));
  EXPECT_THAT(refusal(of_dac), HasSubstr("is it the configuration of another model?"));
  of_dac["variant"] = std::string("24khz");
  EXPECT_THAT(refusal(of_dac),
              AllOf(HasSubstr("missing, the first"), HasSubstr("unexpected, the first")));
  EXPECT_THAT(refusal(tiny_options(folder / "none.safetensors")), HasSubstr("none.safetensors"));
}

TEST(EncodecWeights, OfOtherSizesThanTheConfigurationSaysAreRefused) {
  OptionMap options = tiny_options(data_file("encodec_tiny_hf.safetensors"));
  options["dimension"] = int64_t{32};
  EXPECT_THAT(refusal(options),
              HasSubstr("`encoder.layers.15.conv.bias`, which is [16] and should be [32]"));
  options["ratios"] = std::vector<int64_t>{8, 5, 4};
  EXPECT_THAT(refusal(options), HasSubstr("missing"));
}

TEST(EncodecWeights, WithoutSizesAreRefusedWithWhatWouldTellThem) {
  const Folder folder;
  const std::string alone = folder / "alone.safetensors";
  checkpoint::write_safetensors(alone, tiny_weights());
  const char* hint = "since neither variant=NAME nor a config.json beside it tells its sizes";
  EXPECT_THAT(refusal({{"weights", alone}}), HasSubstr(hint));
  EXPECT_THAT(refusal({{"weights", alone}, {"variant", std::string("24khz")}}),
              AllOf(HasSubstr("misshapen"), Not(HasSubstr(hint))));
}

TEST(EncodecWeights, ConfigurationsThatCannotBeRunAreRefused) {
  const Folder folder;
  const std::string weights = folder / "w.safetensors";
  checkpoint::write_safetensors(weights, tiny_weights());
  const auto refused = [&](const std::string& key, const nlohmann::json& value) {
    auto config = nlohmann::json::parse(bytes_of(data_file("encodec_tiny_hf_config.json")));
    config[key] = value;
    std::ofstream(folder / "config.json") << config;
    return refusal({{"weights", weights}});
  };
  EXPECT_EQ(refused("upsampling_ratios", {8, 5, 4, 2}), "nothing was refused");
  EXPECT_THAT(refused("model_type", "dac"), HasSubstr("`model_type` is not `encodec`"));
  EXPECT_THAT(refused("pad_mode", "constant"), HasSubstr("`pad_mode` is constant"));
  EXPECT_THAT(refused("trim_right_ratio", 0.5), HasSubstr("`trim_right_ratio` is 0.5"));
  EXPECT_THAT(refused("norm_type", "none"), HasSubstr("`norm_type` is `none`"));
  EXPECT_THAT(refused("norm_type", "time_group_norm"), HasSubstr("needs segments"));
  EXPECT_THAT(refused("normalize", true), HasSubstr("needs segments"));
  EXPECT_THAT(refused("num_filters", "many"), HasSubstr("`num_filters` is \"many\""));
  EXPECT_THAT(refused("codebook_size", 0), HasSubstr("codebook_size"));
  EXPECT_THAT(refused("codebook_size", 1000), HasSubstr("no power of 2"));
  EXPECT_THAT(refused("upsampling_ratios", {8, 0}), HasSubstr("ratio"));
  EXPECT_THAT(refused("audio_channels", 6), HasSubstr("channels is 6; it must be from 1 to 2"));
  const int64_t huge = int64_t{1} << 62;
  for (const char* key : {"sampling_rate", "num_filters", "codebook_size", "num_lstm_layers",
                          "num_residual_layers", "dilation_growth_rate"}) {
    EXPECT_THAT(refused(key, huge), HasSubstr("it must be from 1 to")) << key;
  }
  EXPECT_THAT(refused("upsampling_ratios", {huge, huge}), HasSubstr("product at most 65536"));
  EXPECT_THAT(refused("upsampling_ratios", std::vector<int>(70, 2)), HasSubstr("70 ratios"));
  EXPECT_THAT(refused("chunk_length_s", 1e300), HasSubstr("at most 3600"));
  EXPECT_THAT(refused("target_bandwidths", {1e300}), HasSubstr("1e+300 kbps"));
  EXPECT_THAT(refused("target_bandwidths", nlohmann::json::array()), HasSubstr("is empty"));
}

TEST(EncodecWeights, IdentityIsTheFilesHashOrTheSeed) {
  const auto identity = [](const OptionMap& options) {
    return ask<Identity>(*make(options)).identity();
  };
  const auto file = identity(tiny_options(data_file("encodec_tiny_hf.safetensors")));
  EXPECT_EQ(file.at("weights_sha256").size(), 64);
  OptionMap random = tiny_options("random");
  random["seed"] = int64_t{5};
  const auto drawn = identity(random);
  EXPECT_EQ(drawn.at("weights"), "random, seed 5");
  EXPECT_THAT(drawn.at("shape"), HasSubstr("n_filters 4"));
}

TEST(EncodecWeights, RandomOnesGiveDiverseCodesAndAudioOfCommonLoudness) {
  for (const std::string variant : {"24khz", "48khz"}) {
    OptionMap options = tiny_options("random");
    options["variant"] = variant;
    auto tokenizer = make(options);
    const auto info = tokenizer->info();
    at::manual_seed(2);
    const int64_t channels = ask<AudioCodec>(*tokenizer).channels();
    const at::Tensor noise = at::randn({channels, 2 * info.sample_rate}) * 0.1;
    const at::Tensor codes = tokenizer->encode(Audio{noise, info.sample_rate});
    for (int64_t book = 0; book < codes.size(0); ++book) {
      const auto* first = codes.const_data_ptr<int64_t>() + book * codes.size(1);
      EXPECT_GT(std::set<int64_t>(first, first + codes.size(1)).size(), 30) << variant << book;
    }
    const at::Tensor audio = samples_of(tokenizer->decode(codes));
    EXPECT_GT(audio.std().item<double>(), 0.005) << variant;
    EXPECT_LT(audio.std().item<double>(), 0.3) << variant;
    options["seed"] = int64_t{1};
    EXPECT_FALSE(at::equal(make(options)->encode(Audio{noise, info.sample_rate}), codes));
    options["seed"] = int64_t{0};
    EXPECT_TRUE(at::equal(make(options)->encode(Audio{noise, info.sample_rate}), codes));
  }
}

TEST(EncodecWeights, AudioAndCodesThatDoNotFitAreRefused) {
  auto tokenizer = make_small("encodec_tiny_hf");
  const auto refused = [&](const at::Tensor& samples, int64_t rate) -> std::string {
    try {
      tokenizer->encode(Audio{samples, rate});
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was refused";
  };
  EXPECT_THAT(refused(at::zeros({1, 9}), 44100), HasSubstr("the audio has 44100 Hz"));
  EXPECT_THAT(refused(at::zeros({2, 9}), 24000), HasSubstr("2 channels"));
  EXPECT_THAT(refused(at::zeros({9}), 24000), HasSubstr("[9]"));
  EXPECT_THAT(refused(at::zeros({1, 9}, at::kShort), 24000), HasSubstr("floating-point"));
  at::Tensor samples = at::zeros({1, 40000});
  samples[0][33333] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refused(samples, 24000), HasSubstr("sample 33333 of the audio is not finite"));
  EXPECT_THROW(tokenizer->encode(std::string("text")), Error);
  auto decoder = ask<AudioCodec>(*tokenizer).new_decoder();
  decoder->push(at::zeros({2, 3}, at::kLong));
  EXPECT_THROW(decoder->push(at::zeros({3, 3}, at::kLong)), Error);
  EXPECT_THROW(tokenizer->decode(at::zeros({0, 3}, at::kLong)), Error);
  EXPECT_THROW(tokenizer->decode(at::zeros({1, 3})), Error);
}

// ---- the two forms

using encodec::Form;

// Latents and, of the same latents, audio.
std::pair<at::Tensor, at::Tensor> through(const encodec::Shape& shape,
                                          const encodec::Weights& weights, Form form,
                                          const at::Tensor& x, const at::Tensor& latents) {
  const at::NoGradGuard no_grad;
  const encodec::Model model(shape, shape.codebooks, weights, at::kCPU, form);
  EXPECT_TRUE(at::equal(model.quantizer().encode(latents),
                        encodec::Model(shape, shape.codebooks, weights, at::kCPU, Form::plain)
                            .quantizer()
                            .encode(latents)));
  return {encodec::Pass(model.encoder()).run(x, /*last=*/true),
          encodec::Pass(model.decoder()).run(latents, /*last=*/true)};
}

TEST(EncodecForms, AgreeWithinRounding) {
  for (const char* variant : {"24khz", "48khz", "32khz"}) {
    encodec::Shape shape = encodec::shape_of_variant(variant);
    shape.n_filters = 6;  // odd numbers of channels, for the tails of vectors
    shape.dimension = 10;
    shape.codebooks = 3;
    shape.dilation_base = 3;
    shape.residual_layers = 2;
    const encodec::Weights weights = encodec::random_weights(shape, 3);
    at::manual_seed(4);
    const at::Tensor x = at::randn({9123, shape.channels});
    const at::Tensor latents = at::randn({40, shape.dimension});
    const auto [fused_latents, fused_audio] = through(shape, weights, Form::fused, x, latents);
    const auto [plain_latents, plain_audio] = through(shape, weights, Form::plain, x, latents);
    EXPECT_LT(largest_difference(fused_latents, plain_latents), 1e-4) << variant;
    EXPECT_LT(largest_difference(fused_audio, plain_audio), 1e-5) << variant;
  }
}

TEST(EncodecQuantizer, TakesTheFirstOfEquallyNearRows) {
  const at::Tensor row = at::ones({1, 4});
  const at::Tensor book = at::cat({row * 9, row, row, row * 2});
  for (const Form form : {Form::fused, Form::plain}) {
    const encodec::Quantizer quantizer({book, at::cat({row, row, row * 0, row * 0})}, form);
    const at::Tensor codes = quantizer.encode(row.repeat({5, 1}));
    EXPECT_TRUE(at::equal(codes[0], at::ones({5}, at::kLong)));
    EXPECT_TRUE(at::equal(codes[1], at::full({5}, 2, at::kLong)));
  }
}

}  // namespace
}  // namespace gamut::encodec_test
