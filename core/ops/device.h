// What the operators' device.cpp share: whether there are CUDA kernels for some tensors, and calls
// of them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include <initializer_list>

#include "cuda/kernels.h"

namespace gamut::ops {

inline bool has_device_element(at::ScalarType type) {
  return type == at::kFloat || type == at::kBFloat16 || type == at::kHalf;
}

inline cuda::Element device_element(const at::Tensor& x) {
  if (x.scalar_type() == at::kBFloat16) return cuda::Element::bfloat16;
  return x.scalar_type() == at::kHalf ? cuda::Element::float16 : cuda::Element::float32;
}

// The kernels for these tensors, of which undefined ones do not count; null unless all of them are
// float32, bfloat16 or float16 on one device that has kernels. The first is defined.
inline const cuda::KernelTable* device_kernels(std::initializer_list<at::Tensor> tensors) {
  const auto device = tensors.begin()->device();
  for (const auto& t : tensors) {
    if (t.defined() && !(t.device() == device && has_device_element(t.scalar_type()))) {
      return nullptr;
    }
  }
  return cuda::kernels_for(device);
}

// Calls a function of the table on the device of `x` and its stream. Throws gamut::Error that names
// the operator when a kernel cannot be started.
template <class Args>
void call(cuda::Status (*kernel)(const Args&, cuda::Stream), const Args& args, const at::Tensor& x,
          const char* name_of_operator) {
  const c10::DeviceGuard guard(x.device());
  cuda::check(kernel(args, cuda::current_stream(x.device())), name_of_operator);
}

}  // namespace gamut::ops
