// The activations by the CUDA kernels of the tensors' device. `up` is undefined for relu_squared.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "cuda/table.h"

namespace gamut::ops {

at::Tensor activate_on_device(const cuda::KernelTable& kernels, const at::Tensor& x,
                              const at::Tensor& up);

// Gradients of x and up (undefined without it).
std::tuple<at::Tensor, at::Tensor> activation_gradients_on_device(const cuda::KernelTable& kernels,
                                                                  const at::Tensor& x,
                                                                  const at::Tensor& up,
                                                                  const at::Tensor& dy);

}  // namespace gamut::ops
