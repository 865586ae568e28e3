// GroupNorm with one group over a whole segment, which follows each convolution at 48 kHz.
#pragma once

#include <ATen/core/Tensor.h>

namespace gamut::encodec {

// y [time, channels]: (y - mean) / sqrt(variance + 1e-5) * weight + bias with mean and variance
// over all of it, plus `add` [time, channels] where it is defined. On the CPU y itself is
// overwritten, and the bits do not depend on the number of threads.
at::Tensor normalize(const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias,
                     const at::Tensor& add = {});

}  // namespace gamut::encodec
