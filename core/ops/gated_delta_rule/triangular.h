// Inverse of batched unit lower triangular matrices.
#pragma once

#include <ATen/core/Tensor.h>

namespace gamut::ops {

// (I + strict_tril(n))^-1 for n [batch, c, c], c a power of two, at least 16. What n holds on and
// above its diagonal is not used. Without autograd.
at::Tensor unit_lower_inverse(const at::Tensor& n);

}  // namespace gamut::ops
