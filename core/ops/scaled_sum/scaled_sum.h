// The weighted sums of residual streams in one pass each way.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace gamut::ops {

// a x + b y with a weight for each channel, rounded to the type of x first, or none, which is one.
//   x, y [..., d] alike in shape and type, which is the output's; a, b [d], of any floating type
// Throws gamut::Error when they do not fit.
at::Tensor scaled_sum(const at::Tensor& x, const at::Tensor& y, const std::optional<at::Tensor>& a,
                      const std::optional<at::Tensor>& b);

// The same in LibTorch's operators, on any device.
at::Tensor scaled_sum_reference(const at::Tensor& x, const at::Tensor& y,
                                const std::optional<at::Tensor>& a,
                                const std::optional<at::Tensor>& b);

}  // namespace gamut::ops
