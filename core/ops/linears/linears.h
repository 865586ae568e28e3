// Several linear maps of one input, as a layer's projections are.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace gamut::ops {

// x [..., k], weights [n_i, k] -> x weight_i^T, [..., n_i] each; under autocast in its type, else
// in the one that x and all weights have. Backward sums the input's gradient in place of adding up
// those of the maps. Up to 8 rows of x without gradients, as in decoding, are one pass over the
// weights on a CPU. Differentiable any number of times. Throws gamut::Error when shapes or types do
// not fit.
std::vector<at::Tensor> linears(const at::Tensor& x, at::TensorList weights);

// at::linear for each.
std::vector<at::Tensor> linears_reference(const at::Tensor& x, at::TensorList weights);

}  // namespace gamut::ops
