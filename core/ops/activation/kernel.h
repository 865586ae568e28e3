// Arguments of the activations' kernels; the equations are in activation.h.
#pragma once

#include <stdint.h>

#include "ops/simd/element.h"
#include "ops/simd/isa.h"

namespace gamut::ops {

enum class Activation { swiglu, relu_squared };

// Rows [begin, end) of d elements each, those of one tensor `*_stride` elements apart.
struct ActivationArguments {
  Activation kind;
  Element element;
  int64_t begin, end, d;
  const void* x;  // the gate of swiglu
  int64_t x_stride;
  const void* up;  // with swiglu
  int64_t up_stride;
  void* y;  // [rows, d]; in the backward pass not used

  const void* dy;
  int64_t dy_stride;
  void* dx;    // [rows, d]
  void* d_up;  // [rows, d], with swiglu
};

GAMUT_ISA_KERNEL(activation_forward, ActivationArguments)
GAMUT_ISA_KERNEL(activation_backward, ActivationArguments)

}  // namespace gamut::ops
