// Pieces of the file through the mix and the resampler.
#include "data/audio/reader.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include <vector>

namespace gamut::data {

AudioReader::AudioReader(const std::filesystem::path& path, const AudioRequest& request)
    : input_(path, request.accepts_truncated),
      sample_rate_(request.sample_rate ? request.sample_rate : input_.facts().sample_rate),
      channels_(request.channels ? request.channels : input_.facts().channels) {
  GAMUT_CHECK(request.channels >= 0 && request.channels <= 2,
              "audio can be read as 1 channel or 2, not as ", request.channels);
  GAMUT_CHECK(request.sample_rate >= 0, "a sample rate is above 0 Hz, not ", request.sample_rate);
  const int64_t from = input_.facts().sample_rate;
  if (from != sample_rate_) resampler_ = std::make_unique<Resampler>(from, sample_rate_, channels_);
}

at::Tensor AudioReader::read(int64_t frames) {
  GAMUT_CHECK(frames >= 1, "audio is read in pieces of 1 sample or more, not ", frames);
  while (!at_end_) {
    at::Tensor piece = input_.read(frames);
    at_end_ = piece.size(1) == 0;
    if (channels_ != piece.size(0)) piece = mix_channels(piece, channels_);
    if (resampler_) piece = at_end_ ? resampler_->finish() : resampler_->push(piece);
    if (piece.size(1) > 0) return piece;
  }
  return at::empty({channels_, 0}, at::kFloat);
}

Audio read_audio(const std::filesystem::path& path, const AudioRequest& request) {
  AudioReader reader(path, request);
  std::vector<at::Tensor> pieces;
  do pieces.push_back(reader.read());
  while (pieces.back().size(1) > 0);
  return {at::cat(pieces, 1), reader.sample_rate()};
}

at::Tensor mix_channels(const at::Tensor& samples, int64_t to) {
  GAMUT_CHECK(to == 1 || to == 2, "channels can be mixed to 1 or to 2, not to ", to);
  if (samples.size(0) == to) return samples;
  const at::Tensor mono = samples.mean(0, /*keepdim=*/true);
  return to == 1 ? mono : mono.expand({2, -1}).contiguous();
}

}  // namespace gamut::data
