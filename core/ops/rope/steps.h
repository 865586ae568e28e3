// Heads as the kernels take them.
#pragma once

#include "ops/rows.h"

namespace gamut::ops {

// x [batch, time, heads, head_dim] as steps of [heads, head_dim] some stride apart, as a slice of a
// wider projection has them; anything else is copied.
inline Rows steps_of(const at::Tensor& x) {
  const int64_t heads = x.size(2), d = x.size(3);
  const bool together = x.stride(3) == 1 && (heads == 1 || x.stride(2) == d);
  if (together && (x.size(0) == 1 || x.stride(0) == x.size(1) * x.stride(1))) {
    return {x, x.stride(1)};
  }
  return {x.contiguous(), heads * d};
}

}  // namespace gamut::ops
