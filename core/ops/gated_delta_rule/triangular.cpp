// Inverse of batched unit lower triangular matrices by products alone: on a CPU a batched
// triangular solve runs matrix by matrix and is several times slower.
#include "ops/gated_delta_rule/triangular.h"

#include <ATen/ATen.h>

namespace gamut::ops {

using at::Tensor;

namespace {

constexpr int64_t kBase = 16;

// Matrices [batch, c, c] as blocks [batch, c / b, b, c / b, b].
Tensor blocks(const Tensor& n, int64_t b) {
  const int64_t count = n.size(1) / b;
  return n.unflatten(2, {count, b}).unflatten(1, {count, b});
}

// N^16 = 0, so (I + N)^-1 = (I - N)(I + N^2)(I + N^4)(I + N^8), exactly.
Tensor invert_base(const Tensor& n) {
  auto power = n.tril(-1).neg_();
  auto inverse = power.clone();
  inverse.diagonal(0, 1, 2).add_(1);
  for (int64_t exponent = 2; exponent < kBase; exponent *= 2) {
    power = at::bmm(power, power);
    inverse = at::baddbmm(inverse, inverse, power);
  }
  return inverse;
}

}  // namespace

Tensor unit_lower_inverse(const Tensor& n) {
  const int64_t batch = n.size(0), c = n.size(1);
  auto inverse = invert_base(
      blocks(n, kBase).diagonal(0, 1, 3).permute({0, 3, 1, 2}).reshape({-1, kBase, kBase}));
  // Pairs of inverted blocks merge: [A 0; B D]^-1 = [A' 0; -D' B A', D'].
  for (int64_t b = kBase; b < c; b *= 2) {
    const int64_t pairs = c / (2 * b);
    const auto below = blocks(n, 2 * b)
                           .diagonal(0, 1, 3)
                           .permute({0, 3, 1, 2})
                           .slice(2, b)
                           .slice(3, 0, b)
                           .reshape({batch * pairs, b, b});
    const auto pair = inverse.view({batch * pairs, 2, b, b});
    const auto upper = pair.select(1, 0), lower = pair.select(1, 1);
    auto merged = at::zeros({batch * pairs, 2 * b, 2 * b}, n.options());
    merged.slice(1, 0, b).slice(2, 0, b).copy_(upper);
    merged.slice(1, b).slice(2, b).copy_(lower);
    merged.slice(1, b).slice(2, 0, b).copy_(at::bmm(lower, at::bmm(below, upper)).neg_());
    inverse = merged;
  }
  return inverse;
}

}  // namespace gamut::ops
