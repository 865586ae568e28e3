// RMS norm over the last dimension.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace gamut::ops {

// x [..., d], weight [d] or none -> [..., d]: x / sqrt(mean(x^2) + eps) * weight.
at::Tensor rms_norm(const at::Tensor& x, const std::optional<at::Tensor>& weight, double eps);

}  // namespace gamut::ops
