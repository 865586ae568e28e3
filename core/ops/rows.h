// Tensors as the CPU kernels take them: rows of contiguous elements, one stride apart.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "ops/simd/element.h"

namespace gamut::ops {

// x [..., d] as rows of d elements, `stride` elements apart. A slice of a wider tensor's last
// dimension stays where it is; anything else that is not contiguous is copied.
struct Rows {
  at::Tensor tensor;
  int64_t stride;

  const void* data() const { return tensor.const_data_ptr(); }
};

// How far apart the rows of x [..., d] are; none where they are not evenly spaced. What a dimension
// of size one has for a stride means nothing.
inline std::optional<int64_t> stride_of_rows(const at::Tensor& x) {
  if (x.size(-1) > 1 && x.stride(-1) != 1) return std::nullopt;
  int64_t stride = x.size(-1), rows = 1;
  for (int64_t i = x.dim() - 2; i >= 0; --i) {
    if (x.size(i) == 1) continue;
    if (rows == 1) stride = x.stride(i);
    if (x.stride(i) != stride * rows) return std::nullopt;
    rows *= x.size(i);
  }
  return stride;
}

inline Rows rows_of(const at::Tensor& x) {
  if (const auto stride = stride_of_rows(x)) return {x, *stride};
  return {x.contiguous(), x.size(-1)};
}

inline bool has_element(at::ScalarType type) {
  return type == at::kFloat || type == at::kBFloat16 || type == at::kDouble;
}

inline Element element_of(const at::Tensor& x) {
  if (x.scalar_type() == at::kDouble) return Element::float64;
  return x.scalar_type() == at::kBFloat16 ? Element::bfloat16 : Element::float32;
}

// The type of sums and states: float32, for float64 that itself.
inline at::ScalarType sum_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

inline at::Tensor or_undefined(const std::optional<at::Tensor>& x) {
  return x.value_or(at::Tensor());
}

inline std::optional<at::Tensor> if_defined(const at::Tensor& x) {
  return x.defined() ? std::optional<at::Tensor>(x) : std::nullopt;
}

inline const void* data_or_null(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr() : nullptr;
}
inline void* data_or_null_mutable(const at::Tensor& x) {
  return x.defined() ? x.mutable_data_ptr() : nullptr;
}

}  // namespace gamut::ops
