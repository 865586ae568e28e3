// Changes the sample rate of audio that comes in pieces.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

struct soxr;

namespace gamut::data {

// libsoxr at very high quality (28 bits, linear phase, pass band to 0.913 of Nyquist), one thread.
// Nothing is clipped. The output does not depend on how the input was cut into pieces.
class Resampler {
 public:
  // Rates in Hz. Throws gamut::Error for rates that libsoxr cannot bring together.
  Resampler(int64_t from, int64_t to, int64_t channels);
  ~Resampler();
  Resampler(const Resampler&) = delete;
  Resampler& operator=(const Resampler&) = delete;

  at::Tensor push(const at::Tensor& samples);  // float32 [channels, n] -> [channels, m >= 0]
  // The rest: altogether there are length_after(samples pushed) a channel. Nothing may follow.
  at::Tensor finish();

  // round(samples * to / from), halves upwards.
  int64_t length_after(int64_t samples) const;

 private:
  at::Tensor process(const float* const* input, int64_t count);

  soxr* state_ = nullptr;
  int64_t from_, to_, channels_;
  int64_t taken_ = 0, given_ = 0;  // samples a channel
};

}  // namespace gamut::data
