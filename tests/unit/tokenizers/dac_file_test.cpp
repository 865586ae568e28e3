// .dac files: the package's own one, what is written for it, hostile ones.
#include "dac/dac_file.h"

#include "dac/loudness.h"
#include "dac_support.h"

namespace gamut {
namespace {

using at::Tensor;
using namespace test;  // NOLINT(google-build-using-namespace)
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string error_of(const std::string& bytes) {
  try {
    dac::parse_dac_file(bytes);
  } catch (const Error& error) {
    return error.what();
  }
  return "(none)";
}

TEST(DacFile, HasWhatThePackageWrote) {
  const auto dac = tiny_dac();
  const auto file = capability<CodeFiles>(*dac).parse(file_bytes(codec_data("dac_tiny.dac")));
  EXPECT_TRUE(file.codes.equal(dac_fixture("chunk_codes")[0]));
  EXPECT_EQ(file.sample_rate, 44100);
  EXPECT_EQ(file.samples, 26000);
  EXPECT_EQ(file.channels, 1);
  EXPECT_EQ(file.facts.at("chunk_length"), "29");
  EXPECT_EQ(file.facts.at("padding"), "false");
  EXPECT_EQ(file.facts.at("dac_version"), "1.0.0");
}

// The fixture's audio is raw: before loudness and length.
TEST(DacFile, IsDecodedChunkByChunkToTheLoudnessAndLengthItStates) {
  const auto bytes = file_bytes(codec_data("dac_tiny.dac"));
  for (const char* layout : {"orig", "hf"}) {
    const auto tokenizer = tiny_dac(layout);
    const Audio audio = capability<CodeFiles>(*tokenizer).decode_file(bytes);
    ASSERT_THAT(audio.samples.sizes(), ElementsAre(1, 26000));
    const Tensor raw = dac_fixture("chunk_audio_raw")[0][0].contiguous();
    const double measured = dac::loudness({raw.data_ptr<float>()}, raw.size(0), 44100);
    const double gain = std::pow(10, (dac::parse_dac_file(bytes).input_db[0] - measured) / 20);
    const Tensor expected = raw.slice(0, 0, 26000).mul(gain);
    EXPECT_LE(largest_difference(audio.samples[0], expected), 1e-4);
  }
}

// What audiotools 0.7.2 measures for the fixtures, at three rates.
TEST(DacFile, LoudnessIsThePackages) {
  const Tensor wav = dac_fixture("input_wav")[0][0].contiguous();
  const Tensor raw = dac_fixture("chunk_audio_raw")[0][0].contiguous();
  const auto of = [](const Tensor& samples, int64_t rate) {
    return dac::loudness({samples.data_ptr<float>()}, samples.size(0), rate);
  };
  EXPECT_NEAR(of(wav, 44100), -11.225512, 2e-4);
  EXPECT_NEAR(of(raw, 44100), -11.965678, 2e-4);
  EXPECT_NEAR(of(wav, 16000), -12.034772, 2e-4);
  EXPECT_NEAR(of(wav, 24000), -11.501903, 2e-4);
  EXPECT_EQ(of(at::zeros({50000}), 44100), -70);
}

TEST(DacFile, IsWrittenAndReadBack) {
  const auto dac = tiny_dac();
  auto& files = capability<CodeFiles>(*dac);
  const Tensor wav = dac_fixture("input_wav")[0].mul(0.3);
  const auto bytes = files.encode_file({wav, 44100});
  const auto file = dac::parse_dac_file(bytes);
  EXPECT_TRUE(file.padding);
  EXPECT_EQ(file.frames, 28);
  EXPECT_EQ(file.chunk_length, 28);
  EXPECT_EQ(file.original_length, wav.size(1));
  EXPECT_EQ(dac::write_dac_file(file), bytes);
  const Audio back = files.decode_file(bytes);
  EXPECT_THAT(back.samples.sizes(), ElementsAre(1, wav.size(1)));
  // The codes are those of the audio at -16 LUFS, whatever its own loudness.
  const auto louder = dac::parse_dac_file(files.encode_file({wav.mul(2), 44100}));
  EXPECT_EQ(louder.codes, file.codes);
  EXPECT_NEAR(louder.input_db[0] - file.input_db[0], 6.0206, 1e-3);
}

TEST(DacFile, KeepsTheChannelsOfStereo) {
  const auto dac = tiny_dac();
  auto& files = capability<CodeFiles>(*dac);
  const Tensor wav = dac_fixture("input_wav").squeeze(1);
  const auto bytes = files.encode_file({wav, 44100});
  EXPECT_EQ(files.parse(bytes).channels, 2);
  EXPECT_THAT(files.parse(bytes).codes.sizes(), ElementsAre(9, 2 * 28));
  EXPECT_THAT(files.decode_file(bytes).samples.sizes(), ElementsAre(2, wav.size(1)));
}

TEST(DacFile, EveryPrefixAndManyChangesAreRefusedOrRead) {
  const auto bytes = file_bytes(codec_data("dac_tiny.dac"));
  EXPECT_EQ(error_of(bytes), "(none)");
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(error_of(bytes.substr(0, size)), "(none)") << size;
  }
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const char change : {'\x00', '\xff', '\x01'}) {
      auto changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (change == 0 ? 0x80 : change));
      error_of(changed);  // must neither crash nor throw anything else
    }
  }
}

// Puts `text` in place of `old`, both of one length.
std::string with(std::string bytes, const std::string& old, const std::string& text) {
  bytes.replace(bytes.find(old), old.size(), text);
  return bytes;
}

TEST(DacFile, NothingIsRunAndNothingElseIsRead) {
  const auto bytes = file_bytes(codec_data("dac_tiny.dac"));
  EXPECT_THAT(error_of(with(bytes, "numpy._core.multiarray", "subprocess.Popen......")),
              HasSubstr("at byte 179, it asks for `subprocess.Popen"));
  EXPECT_THAT(error_of(with(bytes, "|O", "u2")), HasSubstr("should be of one object"));
  EXPECT_THAT(error_of(with(bytes, "1.0.0", "2.0.0")), HasSubstr("dac_version"));
  EXPECT_THAT(error_of(with(bytes, "codes", "coded")), HasSubstr("has no `codes`"));
  EXPECT_THAT(error_of(with(bytes, "\x8c\x02u2", "\x8c\x02u4")), HasSubstr("type u2"));
  EXPECT_THAT(error_of(with(bytes, "K\x01K\x09Kt", "K\x01K\x08Kt")), HasSubstr("shape asks for"));
  EXPECT_THAT(error_of(bytes + "x"), HasSubstr("bytes follow"));
  EXPECT_THAT(error_of("RIFF....WAVEfmt "), HasSubstr("does not begin as a NumPy"));
  EXPECT_THAT(error_of(bytes.substr(0, 128) + std::string(100000, ']')),
              HasSubstr("more values than such a file has"));
  EXPECT_THAT(error_of(bytes.substr(0, 128) + "\x80\x05N."), HasSubstr("another protocol"));
  EXPECT_THAT(error_of(bytes.substr(0, 128) + "Ni."), HasSubstr("opcode 105"));
}

TEST(DacFile, ALengthBeyondTheCodesIsRefused) {
  auto file = dac::parse_dac_file(file_bytes(codec_data("dac_tiny.dac")));
  const auto dac = tiny_dac();
  auto& files = capability<CodeFiles>(*dac);
  file.original_length = int64_t{1} << 50;
  const auto decode = [&] { files.decode_file(dac::write_dac_file(file)); };
  EXPECT_THROW(decode(), Error);
  file.original_length = 26000;
  file.codes[5] = 1024;
  EXPECT_THROW(decode(), Error);
}

}  // namespace
}  // namespace gamut
