// The convolution by the CUDA kernels of the tensors' device.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>
#include <vector>

#include "cuda/table.h"
#include "ops/causal_conv1d/inputs.h"

namespace gamut::ops {

// The kernels for these inputs, null where there are none; with a head_dim, also where heads cannot
// be normalised on the way.
const cuda::KernelTable* conv_kernels(const CausalConv1dInputs& in);

// The output and the state after each document.
std::tuple<at::Tensor, at::Tensor> convolve_on_device(const cuda::KernelTable& kernels,
                                                      const CausalConv1dInputs& in);

// Gradients of x, weight, bias and initial state; dy or d_final may be undefined.
std::vector<at::Tensor> conv_gradients_on_device(const cuda::KernelTable& kernels,
                                                 const CausalConv1dInputs& in, const at::Tensor& dy,
                                                 const at::Tensor& d_final);

}  // namespace gamut::ops
