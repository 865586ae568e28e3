// The capability "code_files/1": .dac files as DAC.compress and DAC.decompress treat them.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "checks.h"
#include "dac.h"
#include "loudness.h"

namespace gamut::dac {

using at::Tensor;

namespace {

constexpr int64_t kPiece = 1 << 20;  // samples
constexpr double kLoudness = -16;    // LUFS that DAC.compress brings audio to before it is encoded

// The factor between two loudnesses in LUFS, in float32 as audiotools computes it.
float gain(double to, double from) {
  const auto decibels = static_cast<float>(to) - static_cast<float>(from);
  return std::exp(decibels * static_cast<float>(std::log(10.0) / 20));
}

// int64 [codebooks, frames] of a channel.
Tensor channel_codes(const DacFile& file, int64_t channel) {
  Tensor codes = at::empty({file.codebooks, file.frames}, at::kLong);
  const auto* from = file.codes.data() + channel * codes.numel();
  std::copy(from, from + codes.numel(), codes.data_ptr<int64_t>());
  return codes;
}

// Codes of the samples times `factor`, then divided by their peak where it exceeds 1. Scaled piece
// by piece, so that there is no second copy of a long signal.
Tensor loud_codes(const Codec& codec, const Tensor& samples, float factor, int64_t codebooks) {
  const auto [least, most] = at::aminmax(samples);
  const float peak = std::max(-least.item<float>(), most.item<float>()) * factor;
  BlockEncoder encoder(codec, codebooks);
  std::vector<Tensor> codes;
  for (const Tensor& piece : samples.split(kPiece)) {
    Tensor loud = piece.mul(factor);
    if (peak > 1) loud.mul_(1 / peak);
    codes.push_back(encoder.push(loud));
  }
  codes.push_back(encoder.finish());
  return at::cat(codes, 1);
}

// Samples a channel at the model's rate that the file says it has.
double stated_samples(const DacFile& file, int64_t sample_rate) {
  return std::ceil(static_cast<double>(file.original_length) * static_cast<double>(sample_rate) /
                   static_cast<double>(file.sample_rate));
}

}  // namespace

CodeFile Dac::parse(std::string_view bytes) const {
  const DacFile file = parse_dac_file(bytes);
  std::vector<Tensor> codes;
  for (int64_t c = 0; c < file.batch; ++c) codes.push_back(channel_codes(file, c));
  CodeFile result;
  result.codes = at::cat(codes, 1);
  result.sample_rate = file.sample_rate;
  result.samples = file.original_length;
  result.channels = file.channels;
  std::string loudness;
  for (const float db : file.input_db) loudness += c10::str(loudness.empty() ? "" : ", ", db);
  result.facts = {{"input_db", loudness},
                  {"chunk_length", std::to_string(file.chunk_length)},
                  {"padding", file.padding ? "true" : "false"},
                  {"dac_version", file.version}};
  return result;
}

// Chunk by chunk, as the file was encoded: without padding each chunk loses the ends that see
// beyond it, and the next one goes on there.
Tensor Dac::decoded_channel(const DacFile& file, int64_t channel) const {
  const Tensor codes = checked_codes(channel_codes(file, channel), codec_->shape, 0);
  Tensor samples = at::empty({0});
  int64_t filled = 0;
  for (int64_t from = 0; from < file.frames; from += file.chunk_length) {
    const int64_t frames = std::min(file.chunk_length, file.frames - from);
    const Tensor chunk = dac::decode(*codec_, codes.slice(1, from, from + frames), file.padding);
    if (frames == file.frames) return chunk;
    // No chunk is longer than the first.
    if (from == 0) samples = at::empty({chunk.size(0) * (file.frames / frames + 1)});
    samples.slice(0, filled, filled + chunk.size(0)).copy_(chunk);
    filled += chunk.size(0);
  }
  return samples.slice(0, 0, filled);
}

// At the model's rate; a file of another sample_rate was resampled before it was encoded, and the
// caller resamples back.
Audio Dac::decode_file(std::string_view bytes) {
  const DacFile file = parse_dac_file(bytes);
  const Shape& shape = codec_->shape;
  GAMUT_CHECK(file.codebooks <= shape.codebooks, "the .dac file has ", file.codebooks,
              " codebooks, and this model has ", shape.codebooks);
  const auto levels = static_cast<int64_t>(file.input_db.size());
  GAMUT_CHECK(levels == 1 || levels == file.batch, "the .dac file has ", levels,
              " values of input_db for ", file.batch, " channels");
  const double stated = stated_samples(file, shape.sample_rate);
  std::vector<Tensor> channels;
  for (int64_t c = 0; c < file.batch; ++c) {
    const Tensor channel = decoded_channel(file, c);
    const int64_t count = channel.size(0);
    // An odd rate, or resampling, loses samples of the last frame.
    GAMUT_CHECK(stated <= static_cast<double>(count + shape.hop_length()),
                "the .dac file says that it holds ", stated, " samples a channel at ",
                shape.sample_rate, " Hz, and its codes give ", count,
                "; it is damaged, or of a model of another rate");
    const double measured = loudness({channel.data_ptr<float>()}, count, shape.sample_rate);
    const double wanted = file.input_db[static_cast<size_t>(levels == 1 ? 0 : c)];
    const auto length = static_cast<int64_t>(stated);
    Tensor kept = channel.slice(0, 0, std::min(count, length)).mul_(gain(wanted, measured));
    if (count < length) kept = at::constant_pad_nd(kept, {0, length - count});
    channels.push_back(kept.unsqueeze(0));
  }
  // An hour of a channel is 600 MB: not copied where there is one.
  return {channels.size() == 1 ? channels[0] : at::cat(channels), shape.sample_rate};
}

// As DAC.compress(win_duration=None): one chunk, padded.
std::string Dac::encode_file(const Audio& audio) {
  const Shape& shape = codec_->shape;
  GAMUT_CHECK(audio.samples.dim() == 2 && audio.samples.numel() > 0,
              "a .dac file holds at least one sample, and the audio is ", audio.samples.sizes());
  GAMUT_CHECK(shape.codebook_size <= 65536, "codes of a .dac file have 16 bits");
  std::vector<Tensor> channels;
  std::vector<const float*> data;
  for (const Tensor& row : audio.samples.split(1)) {
    channels.push_back(mono_samples(Audio{row, audio.sample_rate}, shape.sample_rate, 0));
    data.push_back(channels.back().data_ptr<float>());
  }
  const int64_t length = audio.samples.size(1);
  const double measured = loudness(data, length, shape.sample_rate);
  DacFile file;
  for (const Tensor& channel : channels) {
    const Tensor codes = loud_codes(*codec_, channel, gain(kLoudness, measured), codebooks_);
    const auto* from = codes.data_ptr<int64_t>();
    for (int64_t i = 0; i < codes.numel(); ++i) {
      file.codes.push_back(static_cast<uint16_t>(from[i]));
    }
    file.frames = codes.size(1);
  }
  file.batch = file.channels = static_cast<int64_t>(channels.size());
  file.codebooks = codebooks_;
  file.input_db = {static_cast<float>(measured)};
  file.original_length = length;
  file.sample_rate = shape.sample_rate;
  file.chunk_length = file.frames;
  file.version = "1.0.0";
  return write_dac_file(file);
}

}  // namespace gamut::dac
