// The reader resamples, the stream encoder encodes; memory does not grow with the file, but for its
// codes, 6 MB an hour.
#include "data/prepare/audio_work.h"

#include <ATen/ATen.h>
#include <gamut/codec.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <utility>

#include "data/audio/reader.h"
#include "data/codes/writer.h"
#include "files/hash.h"

namespace gamut::data {
namespace {

using nlohmann::json;

// Codes int64 [codebooks, steps] as they come, kept frame by frame.
void append_codes(const at::Tensor& codes, int64_t vocab_size, std::vector<uint16_t>& tokens) {
  if (codes.numel() == 0) return;
  const at::Tensor frames = codes.t().to(at::kCPU, at::kLong).contiguous();
  const int64_t* values = frames.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < frames.numel(); ++i) {
    GAMUT_CHECK(values[i] >= 0 && values[i] < vocab_size, "the tokenizer gave the code ", values[i],
                ", which is outside of its vocabulary of ", vocab_size);
    tokens.push_back(static_cast<uint16_t>(values[i]));
  }
}

// Read in pieces: a mapped file would count as memory in use.
std::string sha256_of(const std::filesystem::path& path, const UnitContext& context) {
  std::ifstream file(path, std::ios::binary);
  files::Hasher hasher;
  std::vector<char> piece(size_t{1} << 20);
  while (file) {
    context.check();
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    hasher.update(piece.data(), static_cast<size_t>(file.gcount()));
  }
  GAMUT_CHECK(file.eof(), "cannot read ", path.string(), " to its end");
  return hasher.finish().sha256;
}

// A file from its beginning to its end, or to the limit.
class Encoding {
 public:
  Encoding(AudioReader& reader, StreamEncoder& encoder, int64_t vocab_size, int64_t limit)
      : reader_(reader), encoder_(encoder), vocab_size_(vocab_size), limit_(limit) {}

  void run(UnitContext& context) {
    const double expected = expected_samples();
    for (at::Tensor piece = reader_.read(); piece.size(1) > 0 && samples < limit_;
         piece = reader_.read()) {
      context.check();
      piece = piece.slice(1, 0, std::min(piece.size(1), limit_ - samples));
      peak = std::max(peak, static_cast<double>(piece.abs().max().item<float>()));
      append_codes(encoder_.push(Audio{piece, reader_.sample_rate()}), vocab_size_, tokens);
      samples += piece.size(1);
      if (expected > 0) context.advance(std::min(1.0, static_cast<double>(samples) / expected));
    }
    context.check();
    append_codes(encoder_.finish(), vocab_size_, tokens);
  }

  int64_t samples = 0;  // at the tokenizer's rate
  double peak = 0;
  std::vector<uint16_t> tokens;

 private:
  // By the file's header, for the progress alone; 0: unknown.
  double expected_samples() const {
    const double ratio = static_cast<double>(reader_.sample_rate()) /
                         static_cast<double>(reader_.file().sample_rate);
    const double claimed = static_cast<double>(reader_.samples_claimed()) * ratio;
    const auto limit = static_cast<double>(limit_);
    if (limit_ == INT64_MAX) return claimed;
    return claimed > 0 ? std::min(claimed, limit) : limit;
  }

  AudioReader& reader_;
  StreamEncoder& encoder_;
  int64_t vocab_size_, limit_;
};

// One writer a split, made when the split first occurs.
class CodesSink : public ShardSink {
 public:
  CodesSink(std::filesystem::path folder, CodesDescription description)
      : folder_(std::move(folder)), description_(std::move(description)) {}

  void add(const Unit& /*unit*/, Part part) override {
    const int64_t frames = static_cast<int64_t>(part.tokens.size()) / description_.codebooks;
    const at::Tensor codes =
        at::from_blob(part.tokens.data(), {frames, description_.codebooks}, at::kUInt16);
    writers_.try_emplace(part.split, folder_, part.split, description_)
        .first->second.append(codes.to(at::kLong).t(), part.facts);
  }

  json finish() override {
    json splits = json::object();
    for (auto& [split, writer] : writers_) {
      json files = json::array();
      for (const auto& file : writer.finish()) files.push_back(file.filename().string());
      splits[split] = {
          {"items", writer.items()},
          {"frames", writer.frames()},
          {"tokens", writer.frames() * description_.codebooks},
          {"hours", static_cast<double>(writer.frames()) / description_.frame_rate / 3600},
          {"files", std::move(files)}};
    }
    return splits;
  }

 private:
  std::filesystem::path folder_;
  CodesDescription description_;
  std::map<std::string, CodesWriter> writers_;
};

int64_t channels_of(Tokenizer& tokenizer) {
  const auto* codec = static_cast<AudioCodec*>(tokenizer.query(AudioCodec::kId));
  return codec ? codec->channels() : 1;
}

}  // namespace

AudioWork::AudioWork(Tokenizer& tokenizer, TokenizerRecord record, AudioWorkOptions options)
    : tokenizer_(tokenizer),
      codes_(CodesDescription::of(tokenizer, std::move(record))),
      channels_(channels_of(tokenizer)),
      options_(options) {
  codes_.check("the tokenizer `" + codes_.tokenizer.name + "`");
}

json AudioWork::description() const {
  return {{"tokenizer", codes_.tokenizer.to_json()},
          {"codes",
           {{"sample_rate", codes_.sample_rate},
            {"frame_rate", codes_.frame_rate},
            {"hop_length", codes_.hop_length},
            {"codebooks", codes_.codebooks},
            {"vocab_size", codes_.vocab_size}}},
          {"audio",
           {{"channels", channels_},
            {"mix", "mean of channels"},
            {"resampler", "libsoxr VHQ"},
            {"min_seconds", options_.min_seconds},
            {"max_seconds", options_.max_seconds},
            {"min_peak", options_.min_peak},
            {"accept_truncated", options_.accept_truncated}}}};
}

UnitResult AudioWork::run(const Unit& unit, UnitContext& context) const {
  AudioReader reader(unit.path, {codes_.sample_rate, channels_, options_.accept_truncated});
  const auto rate = static_cast<double>(codes_.sample_rate);
  const int64_t limit =
      options_.max_seconds > 0 ? std::llround(options_.max_seconds * rate) : INT64_MAX;
  const auto encoder = tokenizer_.new_encoder();
  Encoding encoding(reader, *encoder, codes_.vocab_size, limit);
  encoding.run(context);

  const double seconds = static_cast<double>(encoding.samples) / rate;
  if (encoding.samples == 0) return UnitResult::skip("it holds no audio");
  if (seconds < options_.min_seconds) {
    return UnitResult::skip(
        c10::str("it is ", seconds, " s long, shorter than min_seconds, ", options_.min_seconds));
  }
  if (encoding.peak < options_.min_peak) {
    return UnitResult::skip(c10::str("it is silent: its highest sample is ", encoding.peak,
                                     ", below min_peak, ", options_.min_peak));
  }
  const std::string sha256 = sha256_of(unit.path, context);
  const double source_rate = static_cast<double>(reader.file().sample_rate);
  const auto source_samples =
      std::min<int64_t>(reader.samples_of_file(), std::llround(seconds * source_rate));
  json facts = {{"name", unit.name},
                {"source", unit.path.filename().string()},
                {"sha256", sha256},
                {"samples", source_samples},
                {"channels", reader.file().channels},
                {"sample_rate", reader.file().sample_rate}};
  facts.update(json::parse(unit.facts));
  UnitResult result;
  result.parts.push_back({unit.split, std::move(encoding.tokens), std::move(facts)});
  result.source = {{"sha256", sha256}, {"seconds", seconds}};
  result.seconds = seconds;
  return result;
}

std::unique_ptr<ShardSink> AudioWork::new_sink(const std::filesystem::path& folder) const {
  return std::make_unique<CodesSink>(folder, codes_);
}

}  // namespace gamut::data
