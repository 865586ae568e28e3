// The two normalisations of the GDN layer, each with its own backward pass.
#pragma once

#include <ATen/core/Tensor.h>

namespace gamut::gdn {

// x / sqrt(sum x^2 + eps) over the last dimension. Differentiable once.
at::Tensor l2_normalize(const at::Tensor& x, double eps);

// x / sqrt(mean x^2 + eps) * weight * silu(gate) over the last dimension; weight [d]; gate like x,
// or undefined for none. Differentiable once.
at::Tensor gated_rms_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& gate,
                          double eps);

}  // namespace gamut::gdn
