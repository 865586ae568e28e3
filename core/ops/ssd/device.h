// Mamba-2's recurrence by the CUDA kernels of the gated delta rule, of which it is the case without
// a solve: q = C, k = B, v = x, beta = dt, g = dt A, states [head_dim, d_state].
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "ops/gated_delta_rule/delta_rule.h"

namespace gamut::ops {

// Whether there are kernels for such tensors; initial_state may be undefined.
bool ssd_has_kernels(const at::Tensor& x, const at::Tensor& dt, const at::Tensor& B,
                     const at::Tensor& C, const at::Tensor& initial_state);

// y and the final states. dt comes after bias and softplus; D [heads] or undefined.
std::tuple<at::Tensor, at::Tensor> ssd_on_device(const DeltaRuleInput& input, const at::Tensor& D);

}  // namespace gamut::ops
