// Checks of tokenizers of audio: lengths, leading codebooks, decoding in pieces, the codec's own
// files, and input that is no sound for it.
#include <gamut/code_files.h>

#include <array>

#include "plugin_host/conformance_tokenizer.h"
#include "plugin_host/conformance_tools.h"

namespace gamut::host::conformance {
namespace {

Audio decode(const Subject& subject, const at::Tensor& codes) {
  auto decoded = std::get<Audio>(subject.tokenizer.decode(codes));
  GAMUT_CHECK(decoded.sample_rate == subject.info.sample_rate, "decode gives audio at ",
              decoded.sample_rate, " Hz, but info says ", subject.info.sample_rate);
  const auto& samples = decoded.samples;
  GAMUT_CHECK(samples.dim() == 2 && samples.size(0) == subject.channels() &&
                  samples.scalar_type() == at::kFloat,
              "decode gives ", samples.scalar_type(), " ", samples.sizes(),
              "; right would be float32 [", subject.channels(), ", samples]");
  GAMUT_CHECK(at::isfinite(samples).all().item<bool>(), "decoded audio is not finite");
  return decoded;
}

std::string codec_makes_sense(const Subject& subject) {
  const auto& info = subject.info;
  const AudioCodec* codec = subject.codec;
  GAMUT_CHECK(codec, "query(\"", AudioCodec::kId,
              "\") gives nothing: how samples and frames relate ",
              "is needed to prepare data and to decode it");
  GAMUT_CHECK(codec->channels() >= 1 && codec->hop_length() >= 1, "channels is ", codec->channels(),
              " and hop_length is ", codec->hop_length(), "; both must be positive");
  const double hop = static_cast<double>(info.sample_rate) / info.frame_rate;
  const auto said = static_cast<double>(codec->hop_length());
  GAMUT_CHECK(std::abs(hop / said - 1) < 0.02, "hop_length is ", said, ", but sample_rate over ",
              "frame_rate is ", hop);
  return c10::str(codec->channels(), " channels, a frame every ", said, " samples");
}

std::string round_trip(const Subject& subject) {
  const auto all = inputs(subject);
  const auto hop = static_cast<double>(subject.info.sample_rate) / subject.info.frame_rate;
  for (const auto& data : all) {
    const Audio decoded = decode(subject, encode(subject, data));
    const auto difference = static_cast<double>(decoded.samples.size(1) - length_of(data));
    GAMUT_CHECK(std::abs(difference) <= hop, "decode gives ", decoded.samples.size(1),
                " samples for ", length_of(data), "; a frame has ", hop);
  }
  return c10::str(all.size(), " sounds");
}

// Of one sample, and around the ends of frames, what happens is what `steps` and `samples` say.
std::string lengths_are_as_said(const Subject& subject) {
  auto& codec = *subject.codec;
  const int64_t hop = codec.hop_length(), rate = subject.info.sample_rate;
  int64_t before = 0;
  const std::array lengths = {int64_t{0},   int64_t{1}, int64_t{2}, hop - 1,
                              hop,          hop + 1,    2 * hop,    3 * hop + hop / 2 + 1,
                              rate / 4 + 1, rate + 1};
  for (const int64_t length : lengths) {
    const int64_t steps = codec.steps(length);
    const at::Tensor codes = encode(subject, sound(subject, length));
    GAMUT_CHECK(codes.size(1) == steps, "encode gives ", codes.size(1), " steps for ", length,
                " samples, but steps() says ", steps);
    GAMUT_CHECK(length <= 2 || steps >= before, "steps() gives fewer for ", length,
                " samples than for fewer samples");
    before = steps;
    const int64_t samples = decode(subject, codes).samples.size(1);
    GAMUT_CHECK(samples == codec.samples(steps), "decode gives ", samples, " samples for ", steps,
                " steps, but samples() says ", codec.samples(steps));
  }
  return c10::str(lengths.size(), " lengths, from 0 to ", rate + 1, " samples");
}

at::Tensor codes_of_sound(const Subject& subject) {
  return encode(subject, inputs(subject)[1]);
}

std::string leading_codebooks(const Subject& subject) {
  const int64_t all = subject.info.codebooks;
  const at::Tensor codes = codes_of_sound(subject);
  const Audio best = decode(subject, codes);
  for (int64_t rows = 1; rows < all; ++rows) {
    const Audio coarse = decode(subject, codes.slice(0, 0, rows));
    GAMUT_CHECK(coarse.samples.sizes() == best.samples.sizes(), rows, " of ", all,
                " codebooks decode to ", coarse.samples.sizes(), ", all of them to ",
                best.samples.sizes());
    GAMUT_CHECK(!at::equal(coarse.samples, best.samples), "the codebooks from ", rows + 1,
                " on change nothing in what is decoded");
  }
  expect_refusal("codes without a row", [&] { subject.tokenizer.decode(codes.slice(0, 0, 0)); });
  return c10::str("1 to ", all);
}

// Pieces of 0 to 7 frames.
at::Tensor decode_in_pieces(AudioCodec& codec, const at::Tensor& codes, std::mt19937& random) {
  const auto decoder = codec.new_decoder();
  GAMUT_CHECK(decoder, "new_decoder returned nothing");
  std::vector<at::Tensor> samples;
  for (int64_t from = 0; from < codes.size(1);) {
    const int64_t to = std::min<int64_t>(codes.size(1), from + random() % 8);
    samples.push_back(decoder->push(codes.slice(1, from, to)));
    from = to;
  }
  samples.push_back(decoder->finish());
  return at::cat(samples, 1);
}

std::string streaming_decode(const Subject& subject) {
  constexpr double kBound = 1e-5;  // of the loudest sample
  std::mt19937 random(4);
  const at::Tensor codes = codes_of_sound(subject);
  double worst = 0;
  for (const int64_t rows : {subject.info.codebooks, int64_t{1}}) {
    const at::Tensor some = codes.slice(0, 0, rows);
    const at::Tensor whole = decode(subject, some).samples;
    for (int repeat = 0; repeat < 3; ++repeat) {
      const at::Tensor pieces = decode_in_pieces(*subject.codec, some, random);
      GAMUT_CHECK(pieces.sizes() == whole.sizes(), "decoding in pieces gives ", pieces.sizes(),
                  ", decode ", whole.sizes());
      expect_close(pieces, whole, kBound, "decoding in pieces differs from decode");
      worst = std::max(worst, relative_error(pieces, whole));
    }
  }
  const at::Tensor none = decode_in_pieces(*subject.codec, codes.slice(1, 0, 0), random);
  GAMUT_CHECK(none.size(1) == 0, "no codes decode in pieces to ", none.size(1), " samples");
  if (subject.info.codebooks > 1) {
    expect_refusal("a piece with another number of codebooks than the first", [&] {
      const auto decoder = subject.codec->new_decoder();
      decoder->push(codes.slice(1, 0, 1));
      decoder->push(codes.slice(0, 0, 1).slice(1, 0, 1));
    });
  }
  return figure("relative error", worst);
}

std::string wrong_audio_is_refused(const Subject& subject) {
  auto& tokenizer = subject.tokenizer;
  const int64_t rate = subject.info.sample_rate, channels = subject.channels();
  const auto refuse = [&](const std::string& what, const Audio& audio) {
    expect_refusal(what, [&] { tokenizer.encode(audio); });
    expect_refusal(what + " in a stream", [&] { tokenizer.new_encoder()->push(audio); });
  };
  refuse("audio at twice the sample rate", {at::zeros({channels, 1000}), rate * 2});
  refuse("a channel too many", {at::zeros({channels + 1, 1000}), rate});
  refuse("audio without a channel", {at::zeros({0, 1000}), rate});
  refuse("samples without a dimension of channels", {at::zeros({1000}), rate});
  refuse("samples that are integers", {at::zeros({channels, 1000}, at::kLong), rate});
  return expect_refusal("audio without samples", [&] { tokenizer.encode(Audio{{}, rate}); });
}

// A NaN is refused, or gives codes as good as any other.
std::string not_finite(const Subject& subject) {
  std::string outcome = "refused";
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const Audio audio = sound(subject, 4 * subject.codec->hop_length() + 100);
    audio.samples.select(1, 50).fill_(value);
    try {
      const at::Tensor codes = encode(subject, audio);
      GAMUT_CHECK(codes.numel() == 0 || (codes.min().item<int64_t>() >= 0 &&
                                         codes.max().item<int64_t>() < subject.info.vocab_size),
                  "a sample of ", value, " gives codes outside of the vocabulary");
      GAMUT_CHECK(same_bits(codes, encode(subject, audio)), "a sample of ", value,
                  " gives other codes each time");
      outcome = "encoded";
    } catch (const ForeignError& error) {
      throw Error(c10::str("a sample of ", value, " gives an error that does not come from the ",
                           "plugin; check for it and throw gamut::Error: ", error.what()));
    } catch (const Error& error) {
      const std::string message = error.what();
      if (message.find("a sample of ") == 0) throw;  // ours
    }
  }
  return outcome;
}

void file_round_trip(const Subject& subject, CodeFiles& files, int64_t length) {
  const Audio audio = sound(subject, length);
  const std::string bytes = files.encode_file(audio);
  const CodeFile file = files.parse(bytes);
  GAMUT_CHECK(file.sample_rate == audio.sample_rate && file.samples == length &&
                  file.channels == subject.channels(),
              "a file of ", length, " samples at ", audio.sample_rate, " Hz says ", file.samples,
              " samples at ", file.sample_rate, " Hz, ", file.channels, " channels");
  const Audio back = files.decode_file(bytes);
  const int64_t difference = back.samples.size(1) - length;
  GAMUT_CHECK(back.sample_rate == audio.sample_rate && back.samples.size(0) == subject.channels() &&
                  std::abs(difference) <= subject.codec->hop_length(),
              "decode_file gives ", back.samples.sizes(), " at ", back.sample_rate, " Hz for ",
              length, " samples at ", audio.sample_rate);
  GAMUT_CHECK(at::isfinite(back.samples).all().item<bool>(), "decode_file gives no finite audio");
  GAMUT_CHECK(bytes == files.encode_file(audio), "a second encode_file gives other bytes");
}

std::string code_files(const Subject& subject) {
  auto* files = static_cast<CodeFiles*>(subject.tokenizer.query(CodeFiles::kId));
  if (!files) return "none";
  const std::string ending = files->extension();
  GAMUT_CHECK(ending.size() > 1 && ending[0] == '.', "extension is `", ending,
              "`; right would be like .dac");
  const int64_t rate = subject.info.sample_rate;
  for (const int64_t length : {rate / 4 + 7, rate + 1}) file_round_trip(subject, *files, length);
  const std::string bytes = files->encode_file(sound(subject, rate / 4));
  for (const size_t size : {size_t{0}, size_t{5}, bytes.size() / 3, bytes.size() - 1}) {
    const std::string cut = bytes.substr(0, size);
    expect_refusal(c10::str("a file cut off after ", size, " of ", bytes.size(), " bytes"),
                   [&] { files->parse(cut); });
    expect_refusal("decoding it", [&] { files->decode_file(cut); });
  }
  return ending;
}

}  // namespace

void check_audio(const Subject& subject, ConformanceReport& report) {
  auto check = [&](const char* name, std::string (*test)(const Subject&)) {
    report.check(name, [&] { return test(subject); });
  };
  check("audio codec", codec_makes_sense);
  check("round trip", round_trip);
  check("wrong audio is refused", wrong_audio_is_refused);
  if (!subject.codec) return;
  check("steps and samples", lengths_are_as_said);
  check("leading codebooks", leading_codebooks);
  check("decoding in pieces", streaming_decode);
  check("samples that are not finite", not_finite);
  check("code files", code_files);
}

}  // namespace gamut::host::conformance
