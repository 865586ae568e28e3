// Rotary position embedding (Su et al., "RoFormer", 2021, arXiv:2104.09864), both pairings.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gamut::attention {

enum class RopePairs {
  none,
  interleaved,  // channels 2j and 2j + 1
  half,         // channels j and j + dim / 2
};

struct Rope {
  RopePairs pairs = RopePairs::none;
  double base = 10000;
  int64_t dim = 0;       // leading channels of a head that are rotated; even
  bool reverse = false;  // rotate by minus the angle
};

// Pair j at position p is turned by p * base^(-2j / dim): (a, b) -> (a cos - b sin, a sin + b cos).
//   x          [batch, time, heads, head_dim]
//   positions  int64 [time] or [batch, time]
// Angles are float32 (float64 for such x) whatever the dtype of x.
at::Tensor apply_rope(const at::Tensor& x, const at::Tensor& positions, const Rope& rope);

}  // namespace gamut::attention
