// EnCodec against the reference packages: codes, waveforms, files, streams, and what is refused.
#include <gmock/gmock.h>

#include <random>

#include "encodec_support.h"

namespace gamut::encodec_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kRate = 24000;

Tokenizer& tiny() {
  static auto* made = make_small("encodec_tiny_hf").release();
  return *made;
}

const Values& tiny_values() {
  static const auto* made = new Values("encodec_tiny_io.safetensors");
  return *made;
}

std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

// ---- 24 kHz

TEST(Encodec, SaysWhatItIs) {
  const auto info = tiny().info();
  EXPECT_EQ(info.vocab_size, 1024);
  EXPECT_EQ(info.codebooks, 8);
  EXPECT_TRUE(info.is_audio);
  EXPECT_EQ(info.frame_rate, 75);
  EXPECT_EQ(info.sample_rate, kRate);
  const auto& codec = ask<AudioCodec>(tiny());
  EXPECT_EQ(codec.channels(), 1);
  EXPECT_EQ(codec.hop_length(), 320);
  EXPECT_EQ(codec.steps(0), 0);
  EXPECT_EQ(codec.steps(321), 2);
  EXPECT_EQ(codec.samples(2), 640);
}

TEST(Encodec, CodesAreTheReferences) {
  const Values& values = tiny_values();
  for (int64_t item : {0, 1}) {
    const at::Tensor codes = tiny().encode(Audio{values["input_wav"][item], kRate});
    EXPECT_TRUE(at::equal(codes, values["codes"][item]));
    const at::Tensor shorter = tiny().encode(Audio{values["short_input"][item], kRate});
    EXPECT_TRUE(at::equal(shorter, values["short_codes"][item]))
        << shorter << values["short_codes"][item];
  }
}

TEST(Encodec, WaveformsAreTheReferences) {
  const Values& values = tiny_values();
  for (int64_t item : {0, 1}) {
    const at::Tensor whole = samples_of(tiny().decode(values["codes"][item]));
    EXPECT_LT(largest_difference(whole, values["audio"][item]), 1e-4);
    const at::Tensor part = samples_of(tiny().decode(values["codes_partial"][item]));
    EXPECT_LT(largest_difference(part, values["audio_partial"][item]), 1e-4);
  }
  const at::Tensor random = samples_of(tiny().decode(values["random_codes"][0]));
  EXPECT_LT(largest_difference(random, values["audio_random_codes"][0]), 1e-4);
}

TEST(Encodec, BandwidthChoosesLeadingCodebooks) {
  const Values& values = tiny_values();
  for (const auto& [kbps, books] : {std::pair<double, int64_t>{1.5, 2}, {3, 4}, {6, 8}}) {
    auto tokenizer = make_small("encodec_tiny_hf", {{"bandwidth", kbps}});
    EXPECT_EQ(tokenizer->info().codebooks, books);
    const at::Tensor codes = tokenizer->encode(Audio{values["input_wav"][0], kRate});
    EXPECT_TRUE(at::equal(codes, values["codes"][0].slice(0, 0, books)));
  }
  EXPECT_THAT(refusal([] { make_small("encodec_tiny_hf", {{"bandwidth", 5.0}}); }),
              HasSubstr("bandwidth is 5 kbps"));
  EXPECT_THAT(refusal([] { make_small("encodec_tiny_hf", {{"bandwidth", 12.0}}); }),
              HasSubstr("up to 6"));
}

// ---- streams

// Pieces of random lengths, empty ones too.
at::Tensor stream_codes(Tokenizer& tokenizer, const at::Tensor& samples, int64_t rate,
                        int64_t longest, std::mt19937& random) {
  auto encoder = tokenizer.new_encoder();
  std::vector<at::Tensor> codes;
  for (int64_t from = 0; from < samples.size(1);) {
    const auto to = std::min<int64_t>(samples.size(1), from + random() % longest);
    codes.push_back(encoder->push(Audio{samples.slice(1, from, to), rate}));
    from = to;
  }
  codes.push_back(encoder->finish());
  return at::cat(codes, 1);
}

at::Tensor stream_samples(Tokenizer& tokenizer, const at::Tensor& codes, int64_t longest,
                          std::mt19937& random) {
  auto decoder = ask<AudioCodec>(tokenizer).new_decoder();
  std::vector<at::Tensor> samples;
  for (int64_t from = 0; from < codes.size(1);) {
    const auto to = std::min<int64_t>(codes.size(1), from + random() % longest);
    samples.push_back(decoder->push(codes.slice(1, from, to)));
    from = to;
  }
  samples.push_back(decoder->finish());
  return at::cat(samples, 1);
}

void expect_streams_equal_the_whole(Tokenizer& tokenizer, int64_t seconds_of_joints) {
  std::mt19937 random(3);
  const auto& codec = ask<AudioCodec>(tokenizer);
  const int64_t rate = tokenizer.info().sample_rate;
  at::manual_seed(5);
  const at::Tensor long_one = at::randn({codec.channels(), seconds_of_joints * rate + 1234}) * 0.1;
  for (const int64_t length : {long_one.size(1), rate, int64_t{700}, int64_t{321}, int64_t{320},
                               int64_t{7}, int64_t{1}, int64_t{0}}) {
    const at::Tensor samples = long_one.slice(1, 0, length);
    const at::Tensor codes = tokenizer.encode(Audio{samples, rate});
    EXPECT_EQ(codes.size(1), codec.steps(length)) << length;
    for (const int64_t longest : {311, 50000}) {
      EXPECT_TRUE(at::equal(stream_codes(tokenizer, samples, rate, longest, random), codes))
          << length << " in pieces of up to " << longest;
    }
    const at::Tensor back = samples_of(tokenizer.decode(codes));
    EXPECT_THAT(back.sizes(), ElementsAre(codec.channels(), codec.samples(codes.size(1))));
    for (const int64_t longest : {3, 200}) {
      EXPECT_TRUE(at::equal(stream_samples(tokenizer, codes, longest, random), back))
          << length << " in pieces of up to " << longest;
    }
  }
}

TEST(Encodec, StreamsEqualTheWhole) {
  expect_streams_equal_the_whole(tiny(), 3);
}

TEST(Encodec, StreamsOfSegmentsEqualTheWhole) {
  expect_streams_equal_the_whole(*make_small("encodec_48khz"), 3);
}

TEST(Encodec, StreamsThatLookAheadEqualTheWhole) {
  expect_streams_equal_the_whole(*make_small("encodec_32khz"), 2);
}

TEST(Encodec, PrefixesHaveTheSameCodes) {
  at::manual_seed(6);
  const at::Tensor samples = at::randn({1, 40000}) * 0.1;
  const at::Tensor whole = tiny().encode(Audio{samples, kRate});
  for (const int64_t frames : {7, 48, 100}) {  // the first frames look up to 6 ahead
    const at::Tensor prefix = tiny().encode(Audio{samples.slice(1, 0, 320 * frames), kRate});
    EXPECT_TRUE(at::equal(prefix, whole.slice(1, 0, frames))) << frames;
  }
}

// ---- 48 kHz and 32 kHz

TEST(Encodec, StereoSegmentsAreTheReferences) {
  auto tokenizer = make_small("encodec_48khz", {{"scale", 1.0}});
  const Values values("encodec_48khz_io.safetensors");
  EXPECT_EQ(tokenizer->info().frame_rate, 150);
  EXPECT_TRUE(at::equal(tokenizer->encode(Audio{from_pcm(values["pcm"]), 48000}), values["codes"]));
  const at::Tensor audio = samples_of(tokenizer->decode(values["codes"]));
  EXPECT_EQ(audio.size(1), values["length"].item<int64_t>());
  EXPECT_LT(largest_difference(audio.slice(1, 0, audio.size(1), 7), values["unscaled_every_7"]),
            1e-4);
  const at::Tensor half =
      samples_of(make_small("encodec_48khz", {{"scale", 0.5}})->decode(values["codes"]));
  EXPECT_LT(largest_difference(half, audio / 2), 1e-6);
}

TEST(Encodec, StereoFilesAreTheAuthors) {
  auto tokenizer = make_small("encodec_48khz");
  const Values values("encodec_48khz_io.safetensors");
  const std::string bytes = bytes_of(data_file("encodec_48khz.ecdc"));
  auto& files = ask<CodeFiles>(*tokenizer);
  const at::Tensor input = from_pcm(values["pcm"]);
  const CodeFile parsed = files.parse(bytes);
  EXPECT_TRUE(at::equal(parsed.codes, values["codes"]));
  EXPECT_EQ(parsed.channels, 2);
  EXPECT_EQ(parsed.samples, input.size(1));
  const Audio audio = files.decode_file(bytes);
  EXPECT_EQ(audio.samples.size(1), input.size(1));
  const at::Tensor joint = audio.samples.slice(1, 47400, 48100);
  EXPECT_LT(largest_difference(joint, values["audio_joint"]), 1e-4);
  const at::Tensor expected = values["audio_every_7"];
  const at::Tensor some = audio.samples.slice(1, 0, audio.samples.size(1), 7);
  EXPECT_LT(largest_difference(some, expected.slice(1, 0, some.size(1))), 1e-4);
  // Scales may differ in the last bit of a float; codes and everything else may not.
  const CodeFile again = files.parse(files.encode_file(Audio{input, 48000}));
  EXPECT_TRUE(at::equal(again.codes, parsed.codes));
  EXPECT_EQ(again.facts.at("scales"), parsed.facts.at("scales"));
}

// What the frames of the last two segments are where a signal ends just behind a segment's start.
TEST(Encodec, SegmentsOfEveryLengthHaveTheirSteps) {
  auto tokenizer = make_small("encodec_48khz");
  const auto& codec = ask<AudioCodec>(*tokenizer);
  const auto steps = [](int64_t samples) {
    int64_t sum = 0;
    for (int64_t from = 0; from < samples; from += 47520) {
      sum += (std::min<int64_t>(48000, samples - from) + 319) / 320;
    }
    return sum;
  };
  for (int64_t samples = 0; samples < 300000; samples += 53) {
    ASSERT_EQ(codec.steps(samples), steps(samples)) << samples;
  }
  for (const auto& [samples, expected] : {std::pair<int64_t, int64_t>{47521, 47840},
                                          {47800, 48000},
                                          {48000, 48160},
                                          {48100, 48160}}) {
    EXPECT_EQ(codec.samples(codec.steps(samples)), expected) << samples;
  }
  // Steps that are no whole second; every number of them decodes.
  for (const int64_t count : {1, 149, 150, 151, 299, 300, 301}) {
    const auto codes = at::zeros({2, count}, at::kLong);
    EXPECT_EQ(samples_of(tokenizer->decode(codes)).size(1), codec.samples(count)) << count;
  }
}

TEST(Encodec, MusicGensFormIsReadOutOfALargerModel) {
  auto tokenizer = make_small("encodec_32khz");
  const Values values("encodec_32khz_io.safetensors");
  const at::Tensor input = from_pcm(values["pcm"]);
  EXPECT_EQ(tokenizer->info().vocab_size, 256);
  EXPECT_TRUE(at::equal(tokenizer->encode(Audio{input, 32000}), values["codes"]));
  EXPECT_TRUE(
      at::equal(tokenizer->encode(Audio{input.slice(1, 0, 500), 32000}), values["short_codes"]));
  const at::Tensor audio = samples_of(tokenizer->decode(values["codes"]));
  EXPECT_LT(largest_difference(audio, values["audio"]), 1e-4);
  EXPECT_EQ(tokenizer->query(CodeFiles::kId), nullptr)
      << "the authors' program knows no such model";
}

// ---- .ecdc

TEST(Encodec, FilesAreTheAuthors) {
  const std::string bytes = bytes_of(data_file("encodec_tiny.ecdc"));
  auto& files = ask<CodeFiles>(tiny());
  EXPECT_EQ(files.extension(), ".ecdc");
  const CodeFile parsed = files.parse(bytes);
  EXPECT_TRUE(at::equal(parsed.codes, tiny_values()["codes"][0]));
  EXPECT_EQ(parsed.samples, 12137);
  EXPECT_EQ(parsed.sample_rate, kRate);
  EXPECT_EQ(files.encode_file(Audio{tiny_values()["input_wav"][0], kRate}), bytes);
  const at::Tensor audio = files.decode_file(bytes).samples;
  EXPECT_LT(largest_difference(audio, tiny_values()["audio"][0].slice(1, 0, 12137)), 1e-4);
  const std::string empty = files.encode_file(Audio{at::zeros({1, 0}), kRate});
  EXPECT_EQ(files.decode_file(empty).samples.size(1), 0);
}

std::string with_header(const std::string& header, const std::string& rest = "") {
  return std::string("ECDC\0\0\0\0", 8) + static_cast<char>(header.size()) + header + rest;
}

TEST(Encodec, BadFilesAreRefused) {
  const std::string good = bytes_of(data_file("encodec_tiny.ecdc"));
  const std::string header = R"({"m": "encodec_24khz", "al": 640, "nc": 2, "lm": false})";
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = header;
    return with_header(changed.replace(changed.find(from), from.size(), to), std::string(5, 'x'));
  };
  ASSERT_EQ(ask<CodeFiles>(tiny()).parse(with("al", "al")).codes.size(1), 2);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "at byte 0"},
      {"RIFF" + good.substr(4), "does not begin with ECDC"},
      {std::string("ECDC\1", 5), "version 1"},
      {good.substr(0, 30), "the header at byte 9 needs 57 bytes, and only 21"},
      {good.substr(0, good.size() - 1), "the codes of a segment at byte 66"},
      {good + "x", "the file goes on"},
      {std::string("ECDC\0\xff\xff\xff\xff", 9), "claims 4294967295"},
      {with_header("[]"), "no JSON object"},
      {with_header("{\"m\""), "no JSON object"},
      {with("encodec_24khz", "dac"), "made by the model \"dac\""},
      {with("640", "-1"), "`al` is -1"},
      {with("640", "1e3"), "no whole number `al`"},
      {with("640", "18446744073709551615"), "`al` is 18446744073709551615"},
      {with("640", "1000000000000"), "the codes of a segment"},
      {with("\"nc\": 2", "\"nc\": 33"), "`nc` is 33"},
      {with("false", "0"), "entropy coded"},
      {with("false", "true"), "language model"},
  };
  for (const auto& [bytes, message] : cases) {
    EXPECT_THAT(refusal([&] { ask<CodeFiles>(tiny()).decode_file(bytes); }), HasSubstr(message));
  }
  EXPECT_THAT(refusal([] {
                auto stereo = make_small("encodec_48khz");
                ask<CodeFiles>(*stereo).decode_file(bytes_of(data_file("encodec_tiny.ecdc")));
              }),
              HasSubstr("made by encodec_24khz"));
}

}  // namespace
}  // namespace gamut::encodec_test
