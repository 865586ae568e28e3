// The norms by their definition: what tests compare with, and the way of other devices and types.
#include <ATen/ATen.h>

#include "ops/norm/norm.h"

namespace gamut::ops {

using at::Tensor;

namespace {

Tensor wide(const Tensor& x) {
  return x.to(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
}

}  // namespace

Tensor rms_norm_reference(const Tensor& x, const std::optional<Tensor>& weight, double eps,
                          const std::optional<Tensor>& gate, bool gate_first,
                          std::optional<int64_t> group_size) {
  Tensor u = wide(x);
  if (gate && gate_first) u = u * at::silu(wide(*gate));
  const auto groups = u.unflatten(-1, {-1, group_size.value_or(x.size(-1))});
  Tensor y = (groups / (groups.square().mean({-1}, true) + eps).sqrt()).flatten(-2);
  if (weight) y = y * *weight;
  if (gate && !gate_first) y = y * at::silu(wide(*gate));
  return y.to(x.scalar_type());
}

Tensor l2_norm_reference(const Tensor& x, double eps, bool clamp) {
  const auto u = wide(x);
  if (clamp) {
    const auto length = at::linalg_vector_norm(u, 2, {-1}, /*keepdim=*/true);
    return (u / length.clamp_min(eps)).to(x.scalar_type());
  }
  return (u / (u.square().sum({-1}, true) + eps).sqrt()).to(x.scalar_type());
}

}  // namespace gamut::ops
