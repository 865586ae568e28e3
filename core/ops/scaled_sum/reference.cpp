// Weighted sums by their definition: what tests compare with, and the way where there is no kernel.
#include <ATen/ATen.h>

#include "ops/scaled_sum/scaled_sum.h"

namespace gamut::ops {

using at::Tensor;

Tensor scaled_sum_reference(const Tensor& x, const Tensor& y, const std::optional<Tensor>& a,
                            const std::optional<Tensor>& b) {
  const auto scaled = [&](const Tensor& t, const std::optional<Tensor>& weight) {
    return weight ? weight->to(x.scalar_type()) * t : t;
  };
  return scaled(x, a) + scaled(y, b);
}

}  // namespace gamut::ops
