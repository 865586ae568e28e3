// RMS norm, plain or gated, over the last dimension or groups of it.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>

namespace gamut::ops {

// With r = 1 / sqrt(mean(u^2) + eps), the mean over each group (default: the last dimension):
//   no gate                 x r weight                u = x
//   gate                    x r weight silu(gate)     u = x      (Gated DeltaNet)
//   gate and gate_first     u r weight                u = x silu(gate)      (Mamba-2)
//   x [..., d]; its type is the output's. weight [d] or none. gate as x, its type may differ.
//   group_size divides d.
static inline at::Tensor rms_norm(const at::Tensor& x, const std::optional<at::Tensor>& weight,
                                  double eps, const std::optional<at::Tensor>& gate = std::nullopt,
                                  bool gate_first = false,
                                  std::optional<int64_t> group_size = std::nullopt) {
  using Signature = at::Tensor(const at::Tensor&, const std::optional<at::Tensor>&, double,
                               const std::optional<at::Tensor>&, bool, std::optional<int64_t>);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::rms_norm", "").typed<Signature>();
  return call.call(x, weight, eps, gate, gate_first, group_size);
}

}  // namespace gamut::ops
