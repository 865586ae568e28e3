// Audio files: what is read of each format, depth and layout, and what is refused, in words.
#include <sndfile.h>

#include <cmath>
#include <limits>

#include "data/audio/reader.h"
#include "data/audio/truncation.h"
#include "data/audio/writer.h"
#include "support.h"

namespace gamut::data {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A sine of its own frequency in each channel, below full scale.
at::Tensor tones(int64_t channels, int64_t samples, double rate = 44100) {
  const at::Tensor time = at::arange(samples, at::kDouble) / rate;
  std::vector<at::Tensor> rows;
  for (int64_t c = 0; c < channels; ++c) {
    const double hertz = 300.0 * static_cast<double>(c + 1);
    rows.push_back(at::sin(time * (2 * M_PI * hertz)) * 0.5);
  }
  return at::stack(rows).to(at::kFloat);
}

class AudioFiles : public InFolder {
 protected:
  // By libsndfile alone, in a format that AudioWriter does not write.
  fs::path encode(const std::string& name, int format, const at::Tensor& samples, int rate) const {
    SF_INFO info{};
    info.samplerate = rate;
    info.channels = static_cast<int>(samples.size(0));
    info.format = format;
    const fs::path path = folder_ / name;
    SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
    EXPECT_TRUE(file) << sf_strerror(nullptr);
    const at::Tensor plain = samples.t().contiguous();
    EXPECT_EQ(sf_writef_float(file, plain.const_data_ptr<float>(), plain.size(0)), plain.size(0));
    sf_close(file);
    return path;
  }

  fs::path cut(const fs::path& path, double share) const {
    const std::string bytes = read_file(path);
    return write("cut_" + path.filename().string(),
                 bytes.substr(0, static_cast<size_t>(share * static_cast<double>(bytes.size()))));
  }

  std::string refusal(const fs::path& path, const AudioRequest& request = {}) const {
    return sentence_of([&] { read_audio(path, request); });
  }
};

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST_F(AudioFiles, DepthsOfWavAreScaledToOne) {
  const at::Tensor samples = tones(1, 1000);
  struct Case {
    int format;
    double step;
  };
  for (const auto& [format, step] : {Case{SF_FORMAT_PCM_U8, 1.0 / 128},
                                     {SF_FORMAT_PCM_16, 1.0 / 32768},
                                     {SF_FORMAT_PCM_24, 1.0 / (1 << 23)},
                                     {SF_FORMAT_FLOAT, 0.0}}) {
    const Audio audio = read_audio(encode("a.wav", SF_FORMAT_WAV | format, samples, 44100));
    EXPECT_EQ(audio.sample_rate, 44100);
    EXPECT_LE(largest_difference(audio.samples, samples), 1.6 * step + 1e-7) << format;
  }
}

TEST_F(AudioFiles, SixteenBitsComeBackExactly) {
  const at::Tensor integers = at::arange(-32768, 32768, at::kFloat).reshape({1, -1});
  for (const char* name : {"a.wav", "a.flac"}) {
    write_audio(folder_ / name, {integers / 32768, 16000});
    const Audio audio = read_audio(folder_ / name);
    EXPECT_TRUE(at::equal(audio.samples * 32768, integers)) << name;
  }
}

TEST_F(AudioFiles, FloatsStayAsTheyAreAboveOne) {
  const at::Tensor loud = tones(2, 500) * 7;
  write_audio(folder_ / "loud.wav", {loud, 22050}, AudioEncoding::float32);
  EXPECT_TRUE(at::equal(read_audio(folder_ / "loud.wav").samples, loud));
  EXPECT_TRUE(at::equal(read_audio(folder_ / "loud.wav", {0, 1}).samples, loud.mean(0, true)));
}

TEST_F(AudioFiles, LossyFormatsAreReadToTheirEnd) {
  const at::Tensor samples = tones(2, 48000, 48000);
  struct Case {
    const char* name;
    int format;
    double tolerance;
  };
  for (const auto& [name, format, tolerance] :
       {Case{"a.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 0.05},
        {"a.opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, 0.05},
        {"a.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 0.05},
        {"a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 1e-6},
        {"a.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_24, 1e-6}}) {
    AudioReader reader(encode(name, format, samples, 48000));
    std::vector<at::Tensor> pieces;
    do pieces.push_back(reader.read(1000));
    while (pieces.back().size(1) > 0);
    const at::Tensor read = at::cat(pieces, 1);
    EXPECT_EQ(reader.samples_of_file(), 48000) << name;
    ASSERT_EQ(read.sizes(), samples.sizes()) << name;
    // The lossy ones do not end as sharply as the tones do.
    const auto body = [](const at::Tensor& x) { return x.narrow(1, 0, 46000); };
    EXPECT_LE(largest_difference(body(read), body(samples)), tolerance) << name;
  }
}

TEST_F(AudioFiles, ChannelsAreMixedAsTheRuleSays) {
  const at::Tensor six = tones(6, 400, 192000);
  write_audio(folder_ / "six.wav", {six, 192000}, AudioEncoding::float32);
  const at::Tensor mean = six.mean(0, true);
  EXPECT_TRUE(at::equal(read_audio(folder_ / "six.wav").samples, six));
  EXPECT_TRUE(at::equal(read_audio(folder_ / "six.wav", {0, 1}).samples, mean));
  EXPECT_TRUE(at::equal(read_audio(folder_ / "six.wav", {0, 2}).samples, mean.expand({2, -1})));
  const at::Tensor mono = tones(1, 100);
  EXPECT_TRUE(at::equal(mix_channels(mono, 2), mono.expand({2, -1})));
  EXPECT_THAT(refusal(folder_ / "six.wav", {0, 3}), HasSubstr("1 channel or 2, not as 3"));
}

TEST_F(AudioFiles, SixChannelsOf192KilohertzBecomeMonoOf16) {
  const at::Tensor six = tones(1, 19200, 192000).expand({6, -1}).contiguous();
  write_audio(folder_ / "six.wav", {six, 192000}, AudioEncoding::float32);
  const Audio audio = read_audio(folder_ / "six.wav", {16000, 1});
  ASSERT_EQ(audio.samples.size(1), 1600);
  EXPECT_EQ(audio.sample_rate, 16000);
  // Away from the ends, where silence lies beside the tone.
  const auto middle = [](const at::Tensor& x) { return x.narrow(1, 400, 800); };
  EXPECT_LE(largest_difference(middle(audio.samples), middle(tones(1, 1600, 16000))), 1e-4);
}

TEST_F(AudioFiles, PiecesDoNotChangeABit) {
  const at::Tensor samples = tones(2, 30011, 22050);
  write_audio(folder_ / "a.wav", {samples, 22050}, AudioEncoding::float32);
  const Audio whole = read_audio(folder_ / "a.wav", {24000, 1});
  for (const int64_t size : {1, 7, 441, 4096, 30011}) {
    AudioReader reader(folder_ / "a.wav", {24000, 1});
    std::vector<at::Tensor> pieces;
    do pieces.push_back(reader.read(size));
    while (pieces.back().size(1) > 0);
    EXPECT_TRUE(at::equal(at::cat(pieces, 1), whole.samples)) << size;
  }
}

TEST_F(AudioFiles, NothingToReadIsNoError) {
  for (const int64_t samples : {0, 1}) {
    write_audio(folder_ / "short.wav", {tones(1, samples), 8000});
    EXPECT_EQ(read_audio(folder_ / "short.wav").samples.size(1), samples);
    EXPECT_EQ(read_audio(folder_ / "short.wav", {44100, 2}).samples.size(1), samples * 6);
  }
}

TEST(Resampler, LengthsAreExact) {
  const int64_t rates[] = {8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000};
  for (const int64_t from : rates) {
    for (const int64_t to : {16000, 24000, 44100}) {
      if (from == to) continue;
      for (const int64_t samples : {0, 1, 2, 3, 100, 1009, 30011}) {
        Resampler resampler(from, to, 1);
        const int64_t first = resampler.push(at::rand({1, samples})).size(1);
        const int64_t all = first + resampler.finish().size(1);
        const auto exact =
            static_cast<double>(samples) * static_cast<double>(to) / static_cast<double>(from);
        EXPECT_EQ(all, std::llround(exact)) << from << " to " << to << ", " << samples;
      }
    }
  }
}

TEST_F(AudioFiles, SamplesThatAreNotFiniteAreNamed) {
  at::Tensor samples = tones(2, 100000);
  samples[1][70123] = std::numeric_limits<float>::quiet_NaN();
  const fs::path path = encode("nan.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, samples, 10000);
  EXPECT_THAT(refusal(path),
              HasSubstr("nan.wav holds nan at sample 70123 (7.0123 s) of channel 1"));
  EXPECT_THAT(sentence_of([&] { write_audio(folder_ / "out.wav", {samples, 10000}); }),
              HasSubstr("is not finite"));
  EXPECT_FALSE(fs::exists(folder_ / "out.wav"));
}

TEST_F(AudioFiles, FilesThatBreakOffAreRefused) {
  const at::Tensor samples = tones(2, 48000, 48000);
  struct Case {
    const char* name;
    int format;
    const char* reason;
  };
  for (const auto& [name, format, reason] :
       {Case{"a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, "its samples need 192000 bytes"},
        {"a.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16, "its samples need"},
        {"a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, "promises 48000 samples"},
        {"a.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, "inside of the Ogg page"},
        {"a.opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, "inside of the Ogg page"},
        {"a.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, "inside of the MPEG frame"}}) {
    const fs::path path = cut(encode(name, format, samples, 48000), 0.6);
    EXPECT_THAT(refusal(path), StartsWith(path.string() + " breaks off: ")) << name;
    EXPECT_THAT(refusal(path), HasSubstr(reason)) << name;
    if (std::string(name) == "a.ogg") continue;  // of one page libsndfile reads nothing
    const int64_t read = read_audio(path, {0, 0, true}).samples.size(1);
    EXPECT_GT(read, 24000) << name;
    EXPECT_LT(read, 32000) << name;
  }
}

TEST_F(AudioFiles, MissingMpegFramesAreCounted) {
  const fs::path path =
      encode("a.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, tones(2, 44100), 44100);
  const std::string bytes = read_file(path);
  const auto fault = [](const std::string& text) {
    return find_audio_fault({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, ".mp3");
  };
  EXPECT_EQ(fault(bytes).reason, "");
  EXPECT_EQ(fault(std::string(3000, '\0') + bytes).reason, "");
  EXPECT_EQ(fault(bytes + "TAG" + std::string(125, ' ')).reason, "");
  // Every cut either goes through a frame or leaves some out.
  for (size_t size = bytes.size() - 1; size > bytes.size() / 2; size -= 97) {
    EXPECT_TRUE(fault(bytes.substr(0, size)).is_truncation) << size;
  }
}

TEST_F(AudioFiles, WhatIsNoAudioIsRefusedInWords) {
  const std::string text = "This is a text, and somebody gave it the name of a sound. ";
  EXPECT_THAT(refusal(write("text.wav", text)), HasSubstr("text.wav is no audio file"));
  EXPECT_THAT(refusal(write("text.mp3", text)), HasSubstr("no two frames of MPEG audio"));
  EXPECT_THAT(refusal(write("empty.wav", "")),
              HasSubstr("empty.wav is no audio file: it is empty"));
  EXPECT_THAT(refusal(folder_), HasSubstr("is a folder, not an audio file"));
  EXPECT_THAT(refusal(folder_ / "none.wav"), HasSubstr("No such file or directory"));
  EXPECT_THAT(refusal(write("half.wav", "RIFF    WAVEfmt ")),
              HasSubstr("before its samples begin"));
}

TEST_F(AudioFiles, AnythingAtAllGivesAudioOrASentence) {
  const at::Tensor samples = tones(1, 3000);
  for (const auto& [name, format] : {std::pair{"a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16},
                                     {"a.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS},
                                     {"a.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III}}) {
    const std::string bytes = read_file(encode(name, format, samples, 44100));
    const std::string extension = fs::path(name).extension();
    for (size_t i = 0; i < 400; ++i) {
      std::string damaged = bytes.substr(0, bytes.size() - i % 7 * 100);
      damaged[i * 7919 % damaged.size()] ^= static_cast<char>(1 << i % 8);
      find_audio_fault({reinterpret_cast<const uint8_t*>(damaged.data()), damaged.size()},
                       extension);
    }
  }
}

TEST_F(AudioFiles, WritersRefuseAndLeaveNothing) {
  const Audio audio{tones(1, 10), 8000};
  EXPECT_THAT(sentence_of([&] { write_audio(folder_ / "a.txt", audio); }),
              HasSubstr(".wav or .flac"));
  EXPECT_THAT(sentence_of([&] { write_audio(folder_ / "none" / "a.wav", audio); }),
              HasSubstr("No such file or directory"));
  EXPECT_THAT(sentence_of([&] { write_audio(folder_ / "a.flac", audio, AudioEncoding::float32); }),
              HasSubstr("FLAC holds integers"));
  {
    AudioWriter(folder_ / "unfinished.wav", 8000, 1).write(audio.samples);
  }
  EXPECT_TRUE(fs::is_empty(folder_));
}

}  // namespace
}  // namespace gamut::data
