// The tokenizer dac: parity with the Python packages, streams, lengths, refusals.
#include "dac_support.h"

namespace gamut {
namespace {

using at::Tensor;
using namespace test;  // NOLINT(google-build-using-namespace)
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kTolerance = 1e-4;

TEST(Dac, SaysWhatItIs) {
  const auto dac = tiny_dac();
  const auto info = dac->info();
  EXPECT_EQ(info.vocab_size, 1024);
  EXPECT_EQ(info.codebooks, 9);
  EXPECT_TRUE(info.is_audio);
  EXPECT_EQ(info.sample_rate, 44100);
  EXPECT_DOUBLE_EQ(info.frame_rate, 86.1328125);
  EXPECT_TRUE(info.special_ids.empty());
  EXPECT_FALSE(dac->byte_counts({}, {}).defined());
  const auto& codec = capability<AudioCodec>(*dac);
  EXPECT_EQ(codec.hop_length(), 512);
  EXPECT_EQ(codec.channels(), 1);
}

class DacLayouts : public ::testing::TestWithParam<const char*> {};

TEST_P(DacLayouts, GiveTheCodesAndAudioOfThePackages) {
  const auto dac = tiny_dac(GetParam());
  const auto &wav = dac_fixture("input_wav"), &codes = dac_fixture("codes"),
             &audio = dac_fixture("audio");
  for (int64_t item = 0; item < wav.size(0); ++item) {
    EXPECT_TRUE(dac->encode(mono(wav[item])).equal(codes[item])) << item;
    EXPECT_LE(largest_difference(samples_of(dac->decode(codes[item])), audio[item]), kTolerance);
  }
  const auto &random = dac_fixture("random_codes")[0],
             &heard = dac_fixture("audio_random_codes")[0];
  EXPECT_LE(largest_difference(samples_of(dac->decode(random)), heard), kTolerance);
}

TEST_P(DacLayouts, TakeAnyNumberOfLeadingCodebooks) {
  const auto &wav = dac_fixture("input_wav"), &codes = dac_fixture("codes");
  for (int64_t books = 1; books <= 9; ++books) {
    const auto dac = tiny_dac(GetParam(), {{"codebooks", books}});
    EXPECT_EQ(dac->info().codebooks, books);
    EXPECT_TRUE(dac->encode(mono(wav[0])).equal(codes[0].slice(0, 0, books))) << books;
  }
  const auto dac = tiny_dac(GetParam());
  const auto &partial = dac_fixture("codes_partial"), &audio = dac_fixture("audio_partial");
  for (int64_t item = 0; item < wav.size(0); ++item) {
    EXPECT_LE(largest_difference(samples_of(dac->decode(partial[item])), audio[item]), kTolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Both, DacLayouts, ::testing::Values("orig", "hf"));

// About 7 s: several blocks, a part of one, and samples over.
Tensor long_audio(int64_t samples) {
  const auto& wav = dac_fixture("input_wav");
  const int64_t times = samples / wav.numel() + 1;
  return wav.reshape({-1}).repeat({times}).slice(0, 0, samples).contiguous();
}

TEST(Dac, EncodesAStreamInPiecesOfAnySize) {
  const auto dac = tiny_dac();
  for (const int64_t samples : {1, 511, 512, 513, 16384, 16385, 100000}) {
    const Tensor wav = long_audio(samples);
    const Tensor whole = dac->encode(mono(wav));
    ASSERT_THAT(whole.sizes(), ElementsAre(9, (samples + 511) / 512));
    for (const int64_t size : {97, 4000, 16384, 40001}) {
      auto encoder = dac->new_encoder();
      std::vector<Tensor> codes;
      for (int64_t from = 0; from < samples; from += size) {
        const int64_t to = std::min(samples, from + size);
        codes.push_back(encoder->push(mono(wav.slice(0, from, to))));
      }
      codes.push_back(encoder->finish());
      EXPECT_TRUE(at::cat(codes, 1).equal(whole)) << samples << " by " << size;
    }
  }
}

TEST(Dac, DecodesAStreamInPiecesOfAnySize) {
  const auto dac = tiny_dac();
  auto& codec = capability<AudioCodec>(*dac);
  for (const int64_t frames : {1, 2, 31, 32, 33, 150}) {
    const Tensor codes = at::randint(0, 1024, {9, frames}, at::kLong);
    const Tensor whole = samples_of(dac->decode(codes));
    ASSERT_THAT(whole.sizes(), ElementsAre(1, codec.samples(frames)));
    for (const int64_t size : {1, 7, 64}) {
      auto decoder = codec.new_decoder();
      std::vector<Tensor> samples;
      for (int64_t from = 0; from < frames; from += size) {
        samples.push_back(decoder->push(codes.slice(1, from, std::min(frames, from + size))));
      }
      samples.push_back(decoder->finish());
      EXPECT_TRUE(at::cat(samples, 1).equal(whole)) << frames << " by " << size;
    }
  }
}

TEST(Dac, NothingStaysNothing) {
  const auto dac = tiny_dac();
  EXPECT_THAT(dac->encode(mono(at::empty({0}))).sizes(), ElementsAre(9, 0));
  EXPECT_THAT(samples_of(dac->decode(at::empty({9, 0}, at::kLong))).sizes(), ElementsAre(1, 0));
  EXPECT_THAT(dac->new_encoder()->finish().sizes(), ElementsAre(9, 0));
  EXPECT_THAT(capability<AudioCodec>(*dac).new_decoder()->finish().sizes(), ElementsAre(1, 0));
}

// Lengths of every published variant, with narrow layers: an odd rate costs 8 samples.
TEST(Dac, LengthsAreThoseOfTheVariants) {
  const struct {
    const char* variant;
    int64_t rate, books, hop, lost;
  } cases[] = {{"44khz", 44100, 9, 512, 0},
               {"44khz_16kbps", 44100, 18, 512, 0},
               {"24khz", 24000, 32, 320, 8},
               {"16khz", 16000, 12, 320, 8}};
  for (const auto& c : cases) {
    const auto dac = make_dac({{"weights", std::string("random")},
                               {"variant", std::string(c.variant)},
                               {"encoder_dim", int64_t{2}},
                               {"decoder_dim", int64_t{16}}});
    const auto& codec = capability<AudioCodec>(*dac);
    EXPECT_EQ(dac->info().sample_rate, c.rate);
    EXPECT_EQ(dac->info().codebooks, c.books);
    EXPECT_EQ(codec.hop_length(), c.hop);
    for (const int64_t samples : {int64_t{1}, c.hop, c.hop + 1, 40 * c.hop}) {
      const Tensor codes = dac->encode(mono(at::rand({samples}).sub_(0.5), c.rate));
      EXPECT_EQ(codes.size(1), codec.steps(samples));
      EXPECT_EQ(codes.size(1), (samples + c.hop - 1) / c.hop);
      const Tensor back = samples_of(dac->decode(codes));
      EXPECT_EQ(back.size(1), codec.samples(codes.size(1)));
      EXPECT_EQ(back.size(1), codes.size(1) * c.hop - c.lost);
    }
  }
}

template <class Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "(none)";
}

TEST(Dac, RefusesWhatItCannotEncode) {
  const auto dac = tiny_dac();
  const auto of = [&](const RawData& data) { return error_of([&] { dac->encode(data); }); };
  EXPECT_THAT(of(std::string("text")), HasSubstr("was given text"));
  EXPECT_THAT(of(Audio{at::zeros({1, 9}), 48000}), HasSubstr("44100 Hz and was given 48000 Hz"));
  EXPECT_THAT(of(Audio{at::zeros({2, 9}), 44100}), HasSubstr("given 2; mix them"));
  EXPECT_THAT(of(Audio{at::zeros({1, 9}, at::kShort), 44100}), HasSubstr("floating-point"));
  Tensor wav = at::zeros({1, 9});
  wav[0][5] = std::nan("");
  EXPECT_THAT(of(Audio{wav, 44100}), HasSubstr("sample 5 "));
  auto encoder = dac->new_encoder();
  encoder->push(mono(at::zeros({100})));
  EXPECT_THAT(error_of([&] { encoder->push(Audio{wav, 44100}); }), HasSubstr("sample 105 "));
}

TEST(Dac, RefusesWhatItCannotDecode) {
  const auto dac = tiny_dac();
  const auto of = [&](const Tensor& codes) { return error_of([&] { dac->decode(codes); }); };
  Tensor codes = at::zeros({3, 4}, at::kLong);
  EXPECT_EQ(of(codes), "(none)");
  codes[1][2] = 1024;
  EXPECT_THAT(of(codes), HasSubstr("code 1024 of codebook 1 at step 2"));
  codes[1][2] = -1;
  EXPECT_THAT(of(codes), HasSubstr("code -1"));
  EXPECT_THAT(of(at::zeros({10, 4}, at::kLong)), HasSubstr("10 rows"));
  EXPECT_THAT(of(at::zeros({0, 4}, at::kLong)), HasSubstr("0 rows"));
  EXPECT_THAT(of(at::zeros({9, 4})), HasSubstr("integers"));
  auto decoder = capability<AudioCodec>(*dac).new_decoder();
  decoder->push(at::zeros({3, 4}, at::kLong));
  EXPECT_THAT(error_of([&] { decoder->push(at::zeros({2, 4}, at::kLong)); }), HasSubstr("3"));
}

TEST(Dac, RandomWeightsAreThoseOfTheirSeed) {
  const auto codes = [](int64_t seed) {
    const auto dac = make_dac({{"weights", std::string("random")},
                               {"seed", seed},
                               {"encoder_dim", int64_t{8}},
                               {"decoder_dim", int64_t{64}}});
    EXPECT_EQ(capability<Identity>(*dac).identity().at("seed"), std::to_string(seed));
    return dac->encode(mono(long_audio(30000)));
  };
  const Tensor first = codes(1);
  EXPECT_TRUE(codes(1).equal(first));
  EXPECT_FALSE(codes(2).equal(first));
  for (const Tensor& row : first.unbind()) {
    EXPECT_GE(std::get<0>(at::_unique(row)).numel(), 20) << "of " << row.numel() << " frames";
  }
}

TEST(Dac, RandomWeightsAreKnownByTheirSizes) {
  const auto identity = [](OptionMap options) {
    options["weights"] = std::string("random");
    options["decoder_dim"] = int64_t{64};
    return capability<Identity>(*make_dac(options)).identity();
  };
  const auto narrow = identity({{"encoder_dim", int64_t{8}}});
  EXPECT_EQ(narrow.at("encoder_dim"), "8");
  EXPECT_EQ(narrow.at("latent_dim"), "128");
  EXPECT_EQ(narrow.count("codebook_dim"), 0u);
  EXPECT_NE(identity({{"encoder_dim", int64_t{4}}}), narrow);
  const auto rates =
      identity({{"encoder_dim", int64_t{8}}, {"encoder_rates", std::vector<int64_t>{2, 4, 64}}});
  EXPECT_EQ(rates.at("encoder_rates"), "[2, 4, 64]");
}

TEST(Dac, IsKnownByTheHashOfItsWeights) {
  const auto identity = [](const char* layout) {
    const auto dac = tiny_dac(layout);
    return capability<Identity>(*dac).identity().at("weights_sha256");
  };
  EXPECT_EQ(identity("orig").size(), 64u);
  EXPECT_NE(identity("orig"), identity("hf"));
}

}  // namespace
}  // namespace gamut
