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

inline bool are_rows(const at::Tensor& x) {
  if (x.size(-1) > 1 && x.stride(-1) != 1) return false;
  for (int64_t i = x.dim() - 2; i > 0; --i) {
    if (x.size(i - 1) > 1 && x.stride(i - 1) != x.stride(i) * x.size(i)) return false;
  }
  return true;
}

inline Rows rows_of(const at::Tensor& x) {
  if (x.dim() > 1 && are_rows(x)) return {x, x.stride(-2)};
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
