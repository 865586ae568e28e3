// What a convolution is asked for.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/documents.h>

namespace gamut::ops {

struct CausalConv1dInputs {
  at::Tensor x, weight, bias, initial_state;  // the last two may be undefined
  at::Tensor cu_seqlens;                      // may be undefined
  bool silu;
  // Above 0: what follows is l2_norm(y, eps, clamp) over each head_dim channels.
  int64_t head_dim = 0;
  double eps = 0;
  bool clamp = false;

  Documents documents() const { return Documents(cu_seqlens, x.size(0), x.size(1)); }
};

}  // namespace gamut::ops
