// Rotary positions by the CUDA kernels of the tensors' device.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "cuda/table.h"
#include "ops/rope/inputs.h"

namespace gamut::ops {

at::Tensor rotate_on_device(const cuda::KernelTable& kernels, const RopeInputs& in);

// Gradients of x, weight and gain, undefined where `in` has none.
std::tuple<at::Tensor, at::Tensor, at::Tensor> rope_gradients_on_device(
    const cuda::KernelTable& kernels, const RopeInputs& in, const at::Tensor& dy);

}  // namespace gamut::ops
