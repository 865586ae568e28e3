// L2 normalisation over the last dimension.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

namespace gamut::ops {

// x [..., d] -> x / sqrt(sum(x^2) + eps), or with clamp x / max(|x|, eps), in the type of x.
static inline at::Tensor l2_norm(const at::Tensor& x, double eps = 1e-6, bool clamp = false) {
  using Signature = at::Tensor(const at::Tensor&, double, bool);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::l2_norm", "").typed<Signature>();
  return call.call(x, eps, clamp);
}

}  // namespace gamut::ops
