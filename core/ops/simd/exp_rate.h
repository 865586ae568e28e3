// How many exponentials a second the kernels reach: benches take the floor of a scan from it.
#pragma once

#include <ATen/core/Tensor.h>

namespace gamut::ops {

// The sum over j < times of 2^(x j / times), for each element of x: float32 on the CPU, contiguous.
// `times` exponentials an element, all in registers. Not differentiable. Throws gamut::Error for
// another x, and when times is not positive.
at::Tensor exp_rate(const at::Tensor& x, int64_t times);

}  // namespace gamut::ops
