// What a norm is asked for, checked.
#pragma once

#include <ATen/core/Tensor.h>

namespace gamut::ops {

struct NormInputs {
  at::Tensor x, weight, gate;  // the last two may be undefined
  double eps;
  bool gate_first;
  int64_t group_size;
  bool is_l2;  // the sum of squares, not their mean
  bool clamp = false;
};

}  // namespace gamut::ops
