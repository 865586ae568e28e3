// RMS norm, plain or gated, and L2 normalisation, over the last dimension or groups of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace gamut::ops {

// With r = 1 / sqrt(mean(u^2) + eps), the mean over each group (default: the last dimension):
//   no gate                 x r weight                u = x      (Zhang & Sennrich 2019)
//   gate                    x r weight silu(gate)     u = x      (Gated DeltaNet)
//   gate and gate_first     u r weight                u = x silu(gate)      (Mamba-2)
//   x [..., d]; its type is the output's. weight [d] or none. gate as x, its type may differ.
//   group_size divides d. Sums are float32 (float64 for x of float64).
// Throws gamut::Error when shapes do not fit.
at::Tensor rms_norm(const at::Tensor& x, const std::optional<at::Tensor>& weight, double eps,
                    const std::optional<at::Tensor>& gate, bool gate_first,
                    std::optional<int64_t> group_size);

// x [..., d] -> x / sqrt(sum(x^2) + eps), or with clamp x / max(|x|, eps), which is PyTorch's
// functional.normalize.
at::Tensor l2_norm(const at::Tensor& x, double eps, bool clamp);

// The same, step by step in LibTorch's operators, on any device.
at::Tensor rms_norm_reference(const at::Tensor& x, const std::optional<at::Tensor>& weight,
                              double eps, const std::optional<at::Tensor>& gate, bool gate_first,
                              std::optional<int64_t> group_size);
at::Tensor l2_norm_reference(const at::Tensor& x, double eps, bool clamp);

}  // namespace gamut::ops
