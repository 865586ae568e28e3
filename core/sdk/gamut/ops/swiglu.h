// The gated activation of feed-forward layers.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

namespace gamut::ops {

// silu(gate) up; gate and up [..., d] alike in shape and type.
static inline at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  using Signature = at::Tensor(const at::Tensor&, const at::Tensor&);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::swiglu", "").typed<Signature>();
  return call.call(gate, up);
}

}  // namespace gamut::ops
