// Activations of feed-forward layers in one pass each way.
#pragma once

#include <ATen/core/Tensor.h>

namespace gamut::ops {

// silu(gate) up, element by element (Shazeer 2020): gate and up [..., d] alike in shape and type,
// which is the output's. Computed in float32 (float64 for float64). Slices of a wider tensor's last
// dimension are read where they lie. Throws gamut::Error when the two do not fit.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

// relu(x)^2 (So et al. 2021).
at::Tensor relu_squared(const at::Tensor& x);

// The same in LibTorch's operators, on any device.
at::Tensor swiglu_reference(const at::Tensor& gate, const at::Tensor& up);
at::Tensor relu_squared_reference(const at::Tensor& x);

}  // namespace gamut::ops
