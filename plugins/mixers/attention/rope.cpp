// The angles of rotary positions; see rope.h.
#include "rope.h"

#include <ATen/ATen.h>

namespace gamut::attention {

using at::Tensor;

Angles angles_of(const Tensor& positions, const Rope& rope, at::ScalarType dtype,
                 at::Device device) {
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  if (rope.pairs == RopePairs::none) {
    auto shape = positions.sizes().vec();
    shape.push_back(0);
    return {at::empty(shape, options), at::empty(shape, options)};
  }
  const auto rounded = [&](const Tensor& x) {
    return rope.bfloat16 ? x.to(at::kBFloat16).to(dtype) : x;
  };
  const auto exponent = at::arange(0, rope.dim, 2, options).div_(static_cast<double>(rope.dim));
  const auto frequency = rounded(at::pow(rope.base, exponent).reciprocal_());
  // Positions are never rounded: bfloat16 has 8 bits, and far positions would fall together.
  const auto angle = positions.to(device).to(dtype).unsqueeze(-1) * frequency;
  const auto sin = rounded(angle.sin());
  return {rounded(angle.cos()), rope.reverse ? sin.neg() : sin};
}

}  // namespace gamut::attention
