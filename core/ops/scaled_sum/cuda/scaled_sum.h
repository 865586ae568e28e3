// Weighted sums on a GPU; the equation is in scaled_sum.h of the folder above.
#pragma once

#include <algorithm>

#include "cuda/types.h"

namespace gamut::cuda {

// "or null" is where something is absent.
struct ScaledSumArgs {
  Element element;               // of x, y, z and their gradients
  Element a_element, b_element;  // of a, d_a; of b, d_b
  int64_t rows, d;
  const void *x, *y;  // [rows, d], rows x_stride and y_stride apart
  int64_t x_stride, y_stride;
  const void *a, *b;  // [d] or null

  void* z;  // [rows, d]; forward

  // backward
  const void* dz;  // [rows, d], rows dz_stride apart
  int64_t dz_stride;
  void *dx, *dy;    // [rows, d], or null: not wanted
  void *d_a, *d_b;  // [d], with a and b
  float* parts;     // [scaled_sum_parts, 2 d], with a or b: room to work in
};

// Rows of `parts`. They depend on the sizes alone, so that sums are the same on every GPU.
inline int64_t scaled_sum_parts(int64_t rows) {
  return std::min<int64_t>(rows, 528);
}

Status scaled_sum_forward(const ScaledSumArgs& args, Stream stream);
Status scaled_sum_backward(const ScaledSumArgs& args, Stream stream);

}  // namespace gamut::cuda
