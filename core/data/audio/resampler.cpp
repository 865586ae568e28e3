// libsoxr keeps the history; what it gives at the end is cut or padded to the exact length.
#include "data/audio/resampler.h"

#include <ATen/ATen.h>
#include <gamut/error.h>
#include <soxr.h>

#include <algorithm>
#include <vector>

namespace gamut::data {
namespace {

// The beginning of every channel.
std::vector<float*> channel_pointers(const at::Tensor& samples) {
  std::vector<float*> pointers;
  for (int64_t c = 0; c < samples.size(0); ++c) {
    pointers.push_back(samples.data_ptr<float>() + c * samples.size(1));
  }
  return pointers;
}

}  // namespace

Resampler::Resampler(int64_t from, int64_t to, int64_t channels)
    : from_(from), to_(to), channels_(channels) {
  GAMUT_CHECK(from >= 1 && to >= 1 && channels >= 1, "cannot resample ", channels,
              " channels from ", from, " Hz to ", to, " Hz: all three must be 1 or more");
  const soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_S, SOXR_FLOAT32_S);
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_VHQ, 0);
  const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
  soxr_error_t error = nullptr;
  state_ = soxr_create(static_cast<double>(from), static_cast<double>(to),
                       static_cast<unsigned>(channels), &error, &io, &quality, &runtime);
  GAMUT_CHECK(state_ && !error, "cannot resample from ", from, " Hz to ", to,
              " Hz: ", soxr_strerror(error));
}

Resampler::~Resampler() {
  soxr_delete(state_);
}

int64_t Resampler::length_after(int64_t samples) const {
  return (2 * samples * to_ + from_) / (2 * from_);
}

at::Tensor Resampler::push(const at::Tensor& samples) {
  GAMUT_CHECK(
      samples.dim() == 2 && samples.size(0) == channels_ && samples.scalar_type() == at::kFloat,
      "this resampler takes float32 [", channels_, ", n], not ", samples.dtype(), " ",
      samples.sizes());
  const at::Tensor input = samples.contiguous();
  if (input.size(1) == 0) return at::empty({channels_, 0}, at::kFloat);
  taken_ += input.size(1);
  return process(channel_pointers(input).data(), input.size(1));
}

at::Tensor Resampler::finish() {
  const int64_t missing = length_after(taken_) - given_;
  const at::Tensor rest = process(nullptr, 0);
  const int64_t given = rest.size(1);
  if (given >= missing) return rest.narrow(1, 0, missing).contiguous();
  return at::cat({rest, at::zeros({channels_, missing - given}, at::kFloat)}, 1);
}

// Without input: to the end.
at::Tensor Resampler::process(const float* const* input, int64_t count) {
  const int64_t room = length_after(count) + 4096;
  std::vector<at::Tensor> pieces;
  for (int64_t done = 0;;) {
    at::Tensor piece = at::empty({channels_, room}, at::kFloat);
    std::vector<float*> output = channel_pointers(piece);
    std::vector<const float*> rest(static_cast<size_t>(channels_));
    for (size_t c = 0; input && c < rest.size(); ++c) rest[c] = input[c] + done;
    size_t used = 0, made = 0;
    const soxr_error_t error =
        soxr_process(state_, input ? static_cast<soxr_in_t>(rest.data()) : nullptr,
                     static_cast<size_t>(count - done), &used,
                     static_cast<soxr_out_t>(output.data()), static_cast<size_t>(room), &made);
    GAMUT_CHECK(!error, "cannot resample from ", from_, " Hz to ", to_, " Hz: ", error);
    done += static_cast<int64_t>(used);
    given_ += static_cast<int64_t>(made);
    pieces.push_back(piece.narrow(1, 0, static_cast<int64_t>(made)));
    if (done == count && static_cast<int64_t>(made) < room) break;
  }
  return pieces.size() == 1 ? pieces[0].contiguous() : at::cat(pieces, 1);
}

}  // namespace gamut::data
