// The activations by their definition: what tests compare with, and the way of other devices and
// types.
#include <ATen/ATen.h>

#include "ops/activation/activation.h"

namespace gamut::ops {

using at::Tensor;

namespace {

Tensor wide(const Tensor& x) {
  return x.to(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
}

}  // namespace

Tensor swiglu_reference(const Tensor& gate, const Tensor& up) {
  return (at::silu(wide(gate)) * wide(up)).to(gate.scalar_type());
}

Tensor relu_squared_reference(const Tensor& x) {
  return at::relu(wide(x)).square().to(x.scalar_type());
}

}  // namespace gamut::ops
