// Rotary positions by their definition: what tests compare with, and the way of other devices.
#include <ATen/ATen.h>

#include "ops/rope/rope.h"
#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;

Tensor rope_reference(const Tensor& x, const Tensor& cos, const Tensor& sin, bool interleaved,
                      const std::optional<Tensor>& weight, std::optional<double> eps,
                      const std::optional<Tensor>& gain) {
  const auto type = sum_type(x);
  auto h = x.to(type);
  if (eps) h = h * (h.square().mean({-1}, true) + *eps).rsqrt();
  if (weight) h = h * weight->to(type);
  const int64_t pairs = cos.size(-1), rest = x.size(-1) - 2 * pairs;
  const auto turned = h.narrow(-1, 0, 2 * pairs);
  const auto by_pair = interleaved ? turned.unflatten(-1, {pairs, 2})
                                   : turned.unflatten(-1, {2, pairs}).transpose(-1, -2);
  const auto a = by_pair.select(-1, 0), b = by_pair.select(-1, 1);
  const auto c = cos.to(type).unsqueeze(-2), s = sin.to(type).unsqueeze(-2);
  const auto re = a * c - b * s, im = a * s + b * c;
  const auto rotated = interleaved ? at::stack({re, im}, -1).flatten(-2) : at::cat({re, im}, -1);
  auto y = at::cat({rotated, h.narrow(-1, 2 * pairs, rest)}, -1);
  if (gain) y = y * gain->to(type).unsqueeze(-1);
  return y.to(x.scalar_type());
}

}  // namespace gamut::ops
