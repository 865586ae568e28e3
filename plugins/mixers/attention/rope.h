// The angles of rotary positions (Su et al., "RoFormer", 2021, arXiv:2104.09864).
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
  int64_t dim = 0;        // leading channels of a head that are rotated; even
  bool reverse = false;   // rotate by minus the angle
  bool bfloat16 = false;  // frequencies, cosines and sines rounded to bfloat16
};

// Cosines and sines for gamut::ops::rope.
struct Angles {
  at::Tensor cos, sin;  // [time, dim / 2] or [batch, time, dim / 2]
};

// Pair j at position p is turned by p * base^(-2j / dim).
//   positions  int64 [time] or [batch, time]
//   dtype      of the angles: float32, or float64
Angles angles_of(const at::Tensor& positions, const Rope& rope, at::ScalarType dtype,
                 at::Device device);

}  // namespace gamut::attention
