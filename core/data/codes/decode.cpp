// Blocks of frames through the codec's own stream decoder into the writer.
#include "data/codes/decode.h"

#include <ATen/ATen.h>
#include <gamut/codec.h>
#include <gamut/error.h>

#include <algorithm>
#include <cmath>

namespace gamut::data {
namespace {

void check_maker(const CodeSet& set, TokenizerRecord record) {
  record.version = set.description().tokenizer.version;
  std::string why;
  GAMUT_CHECK(set.description().tokenizer.gives_codes_of(record, &why),
              set.shards()[0]->path().string(),
              " was made by another tokenizer, so its codes would decode to noise: ", why,
              " (first that of the codes)");
}

// Samples a channel that the recording had, at this rate; -1 where that is not known.
int64_t recorded_samples(const CodeSet& set, int64_t item, int64_t sample_rate) {
  const nlohmann::json facts = set.facts(item);
  const auto samples = facts.find("samples"), rate = facts.find("sample_rate");
  if (samples == facts.end() || rate == facts.end()) return -1;
  if (!samples->is_number_integer() || !rate->is_number_integer()) return -1;
  const auto seconds = samples->get<double>() / std::max(rate->get<double>(), 1.0);
  return std::llround(seconds * static_cast<double>(sample_rate));
}

// `rate`: frames a second.
DecodedStretch place_stretch(const CodeSet& set, const CodeStretch& stretch, double rate) {
  const int64_t length = set.length(stretch.item);
  GAMUT_CHECK(stretch.start >= 0 && stretch.seconds >= 0, "start and seconds must not be negative");
  const auto begin = static_cast<int64_t>(std::floor(std::min(stretch.start, 1e12) * rate));
  GAMUT_CHECK(begin < length, "item ", stretch.item, " has ", length, " frames, ",
              static_cast<double>(length) / rate, " s; there is nothing at ", stretch.start, " s");
  const auto asked = static_cast<int64_t>(std::ceil(std::min(stretch.seconds, 1e12) * rate));
  DecodedStretch placed;
  placed.begin = begin;
  placed.frames = stretch.seconds > 0 ? std::min(asked, length - begin) : length - begin;
  return placed;
}

// Passes on samples [from, from + count) of a stream that it gets piece by piece.
class Window {
 public:
  Window(AudioWriter& writer, int64_t from, int64_t count)
      : writer_(writer), from_(from), end_(from + count) {}

  void pass(const at::Tensor& samples) {
    const int64_t begin = std::clamp<int64_t>(from_ - position_, 0, samples.size(1));
    const int64_t end = std::clamp<int64_t>(end_ - position_, begin, samples.size(1));
    position_ += samples.size(1);
    if (end == begin) return;
    writer_.write(samples.narrow(1, begin, end - begin));
    written_ += end - begin;
  }
  int64_t written() const { return written_; }

 private:
  AudioWriter& writer_;
  int64_t from_, end_;
  int64_t position_ = 0, written_ = 0;
};

}  // namespace

DecodedStretch decode_stretch(const CodeSet& set, Tokenizer& tokenizer,
                              const TokenizerRecord& record, const CodeStretch& stretch,
                              const std::filesystem::path& path, const DecodeOptions& options) {
  auto* codec = static_cast<AudioCodec*>(tokenizer.query(AudioCodec::kId));
  GAMUT_CHECK(codec, "the tokenizer `", record.name, "` decodes no audio");
  check_maker(set, record);
  const int64_t codebooks = set.description().codebooks;
  GAMUT_CHECK(stretch.codebooks >= 0 && stretch.codebooks <= codebooks, "there are ", codebooks,
              " codebooks, not ", stretch.codebooks);
  // The rates are the tokenizer's own: those of a file may be anything.
  const TokenizerInfo info = tokenizer.info();
  const int64_t hop = codec->hop_length();
  DecodedStretch made = place_stretch(set, stretch, info.frame_rate);
  made.channels = codec->channels();
  made.sample_rate = info.sample_rate;

  const auto second = static_cast<int64_t>(std::ceil(info.frame_rate));
  const int64_t lead = std::min(made.begin, second);
  int64_t count = made.frames * hop;
  if (made.begin + made.frames == set.length(stretch.item)) {
    count = codec->samples(made.frames);
    const int64_t recorded = recorded_samples(set, stretch.item, made.sample_rate);
    if (recorded >= 0) count = std::min(count, recorded - made.begin * hop);
  }
  AudioWriter writer(path, made.sample_rate, made.channels, options.encoding);
  Window window(writer, lead * hop, std::max<int64_t>(count, 0));
  const int64_t books = stretch.codebooks ? stretch.codebooks : codebooks;
  const auto decoder = codec->new_decoder();
  const auto seconds = [&](int64_t samples) {
    return static_cast<double>(samples) / static_cast<double>(made.sample_rate);
  };
  const int64_t end = std::min(made.begin + made.frames + second, set.length(stretch.item));
  for (int64_t at = made.begin - lead; at < end; at += 4 * second) {
    const int64_t frames = std::min(4 * second, end - at);
    at::Tensor block = at::empty({codebooks, frames}, at::kLong);
    set.read(stretch.item, at, frames, block.data_ptr<int64_t>(), frames);
    window.pass(decoder->push(block.narrow(0, 0, books)));
    if (options.progress) options.progress(seconds(window.written()), seconds(count));
  }
  window.pass(decoder->finish());
  writer.finish();
  made.samples = window.written();
  return made;
}

}  // namespace gamut::data
