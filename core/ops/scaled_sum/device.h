// Weighted sums by the CUDA kernels of the tensors' device. Weights may be undefined.
#pragma once

#include <ATen/core/Tensor.h>

#include "cuda/table.h"

namespace gamut::ops {

struct ScaledSumInputs {
  at::Tensor x, y, a, b;
};

at::Tensor scaled_sum_on_device(const cuda::KernelTable& kernels, const ScaledSumInputs& in);

// Gradients of all four, undefined where the inputs are; of x and y only if asked for.
ScaledSumInputs scaled_sum_gradients_on_device(const cuda::KernelTable& kernels,
                                               const ScaledSumInputs& in, const at::Tensor& dz,
                                               bool wants_x, bool wants_y);

}  // namespace gamut::ops
