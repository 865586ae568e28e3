// The activations on a GPU; the equations are in activation.h of the folder above.
#pragma once

#include "cuda/types.h"

namespace gamut::cuda {

// Rows of d elements, those of one tensor `*_stride` elements apart, the results' d apart.
struct ActivationArgs {
  Element element;
  int64_t rows, d;
  const void* x;  // the gate of swiglu
  int64_t x_stride;
  const void* up;  // null: relu(x)^2
  int64_t up_stride;
  void* y;  // forward

  // backward
  const void* dy;
  int64_t dy_stride;
  void* dx;
  void* d_up;  // with up
};

Status activation_forward(const ActivationArgs& args, Stream stream);
Status activation_backward(const ActivationArgs& args, Stream stream);

}  // namespace gamut::cuda
