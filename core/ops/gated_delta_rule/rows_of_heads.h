// q, k, v and their gradients as the kernels take them, on the CPU and elsewhere.
#pragma once

#include <ATen/core/Tensor.h>

namespace gamut::ops {

// [batch, time, heads, d] whose steps are evenly spaced over the whole batch and heads contiguous.
inline at::Tensor as_rows_of_heads(const at::Tensor& x, at::ScalarType type) {
  const at::Tensor y = x.to(type);
  const bool is_row = y.size(3) == 1 || y.stride(3) == 1;
  const bool is_even = y.size(0) == 1 || y.size(1) == 1 || y.stride(0) == y.size(1) * y.stride(1);
  return is_row && is_even ? y : y.contiguous();
}

// Its rows, Rows being a kernel's {data, step stride, head stride}. The stride of a dimension of
// size one means nothing, also after contiguous().
template <class Rows>
Rows rows_of_heads(const at::Tensor& x) {
  return {x.const_data_ptr(), x.stride(x.size(1) > 1 ? 1 : 0), x.stride(2)};
}

}  // namespace gamut::ops
