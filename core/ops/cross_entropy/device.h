// Cross entropy by the CUDA kernels of the tensors' device. Nothing here asks the device for a
// number: targets are counted there, and one that is no id makes the loss NaN.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "cuda/table.h"
#include "ops/cross_entropy/linear.h"
#include "ops/cross_entropy/rows.h"

namespace gamut::ops {

// What the backward pass needs beside logits [rows, ids] and targets [rows].
struct DeviceCrossEntropy {
  at::Tensor loss;
  at::Tensor normalizers;  // [rows], float32: log2 sum exp
  at::Tensor count;        // int64: of the targets that are not ignored
};

// With `keep`, all of it; else only the loss.
DeviceCrossEntropy cross_entropy_on_device(const cuda::KernelTable& kernels,
                                           const at::Tensor& logits, const at::Tensor& targets,
                                           const CrossEntropyOptions& options, bool keep);

// d_loss times the gradient of the loss.
at::Tensor cross_entropy_gradient_on_device(const cuda::KernelTable& kernels,
                                            const at::Tensor& logits, const at::Tensor& targets,
                                            const CrossEntropyOptions& options,
                                            const DeviceCrossEntropy& kept,
                                            const at::Tensor& d_loss);

// Logits, in the type of x, exist for a block of rows at a time, with their gradient in their
// place.
inline constexpr int64_t kDeviceLogitsAtOnce = int64_t{1} << 25;
LinearResult linear_cross_entropy_on_device(const cuda::KernelTable& kernels,
                                            const LinearHead& head, bool gradients,
                                            int64_t logits_at_once = kDeviceLogitsAtOnce);

// x times a number on the device, in the type of x and rounded once.
at::Tensor times(const at::Tensor& x, const at::Tensor& factor);

}  // namespace gamut::ops
