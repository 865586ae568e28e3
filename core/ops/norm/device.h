// The norms by the CUDA kernels of the tensors' device.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "cuda/table.h"
#include "ops/norm/inputs.h"

namespace gamut::ops {

at::Tensor normalize_on_device(const cuda::KernelTable& kernels, const NormInputs& in);

// Gradients of x, weight and gate, undefined where `in` has none.
std::tuple<at::Tensor, at::Tensor, at::Tensor> norm_gradients_on_device(
    const cuda::KernelTable& kernels, const NormInputs& in, const at::Tensor& dy);

}  // namespace gamut::ops
