// Rotary positions, with the norm before and the gain after that attention layers have there.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace gamut::ops {

// y = gain_h * R_t( x / sqrt(mean(x^2) + eps) * weight ) for each step t and head h, where R_t
// turns pair j of the first 2 n channels by the angle whose cosine and sine are given: (a, b) -> (a
// cos - b sin, a sin + b cos) (Su et al., "RoFormer", 2021, arXiv:2104.09864).
//   x            [batch, time, heads, head_dim]; its type is the output's
//   cos, sin     [time, n] or [batch, time, n], n <= head_dim / 2, 0 for no rotation; constants
//   interleaved  pairs are channels 2j and 2j + 1; else j and j + n
//   eps          of the norm over head_dim (RMSNorm, Zhang & Sennrich 2019); none: no norm
//   weight       [head_dim] of the norm, or none
//   gain         [heads], or none
// Everything inside is float32 (float64 for x of float64). Gradients reach x, weight and gain; the
// backward pass computes the norm again. Throws gamut::Error when shapes do not fit.
at::Tensor rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool interleaved,
                const std::optional<at::Tensor>& weight, std::optional<double> eps,
                const std::optional<at::Tensor>& gain);

// The same in LibTorch's operators, on any device.
at::Tensor rope_reference(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                          bool interleaved, const std::optional<at::Tensor>& weight,
                          std::optional<double> eps, const std::optional<at::Tensor>& gain);

}  // namespace gamut::ops
