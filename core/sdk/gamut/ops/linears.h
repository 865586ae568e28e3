// Several linear maps of one input.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <vector>

namespace gamut::ops {

// x [..., k], weights [n_i, k] -> x weight_i^T, [..., n_i] each; under autocast in its type, else
// in the one that x and all weights have. Differentiable any number of times. Throws gamut::Error
// when shapes or types do not fit.
static inline std::vector<at::Tensor> linears(const at::Tensor& x, at::TensorList weights) {
  using Signature = std::vector<at::Tensor>(const at::Tensor&, at::TensorList);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::linears", "").typed<Signature>();
  return call.call(x, weights);
}

}  // namespace gamut::ops
