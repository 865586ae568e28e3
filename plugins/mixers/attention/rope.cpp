// Rotary position embedding; see rope.h.
#include "rope.h"

#include <ATen/ATen.h>

namespace gamut::attention {

using at::Tensor;

namespace {

// cos and sin, [..., time, 1, dim / 2].
std::pair<Tensor, Tensor> rotation(const Tensor& positions, const Rope& rope, at::ScalarType dtype,
                                   at::Device device) {
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const auto exponent = at::arange(0, rope.dim, 2, options).div_(static_cast<double>(rope.dim));
  const auto frequency = at::pow(rope.base, exponent).reciprocal_();
  const auto angle = (positions.to(device).to(dtype).unsqueeze(-1) * frequency).unsqueeze(-2);
  auto sin = angle.sin();
  if (rope.reverse) sin.neg_();
  return {angle.cos(), sin};
}

// Even and odd channels are real and imaginary parts; one complex product turns them.
Tensor turn_interleaved(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  const auto pairs = at::view_as_complex(x.unflatten(-1, {-1, 2}).contiguous());
  return at::view_as_real(pairs * at::complex(cos, sin)).flatten(-2);
}

Tensor turn_half(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  const int64_t n = x.size(-1) / 2;
  const auto a = x.narrow(-1, 0, n), b = x.narrow(-1, n, n);
  return at::cat({at::addcmul(a * cos, b, sin, -1), at::addcmul(a * sin, b, cos)}, -1);
}

}  // namespace

Tensor apply_rope(const Tensor& x, const Tensor& positions, const Rope& rope) {
  if (rope.pairs == RopePairs::none) return x;
  const auto dtype = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto [cos, sin] = rotation(positions, rope, dtype, x.device());
  const auto rotated = x.narrow(-1, 0, rope.dim).to(dtype);
  const auto turned = rope.pairs == RopePairs::half ? turn_half(rotated, cos, sin)
                                                    : turn_interleaved(rotated, cos, sin);
  const auto result = turned.to(x.scalar_type());
  const int64_t rest = x.size(-1) - rope.dim;
  return rest == 0 ? result : at::cat({result, x.narrow(-1, rope.dim, rest)}, -1);
}

}  // namespace gamut::attention
