// RMS norm over the last dimension.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>

namespace gamut::ops {

// x [..., d], weight [d] or none -> [..., d]: x / sqrt(mean(x^2) + eps) * weight.
inline at::Tensor rms_norm(const at::Tensor& x, const std::optional<at::Tensor>& weight,
                           double eps) {
  using Signature = at::Tensor(const at::Tensor&, const std::optional<at::Tensor>&, double);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::rms_norm", "").typed<Signature>();
  return call.call(x, weight, eps);
}

}  // namespace gamut::ops
