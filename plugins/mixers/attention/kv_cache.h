// Growing keys and values of a state.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gamut::attention {

// `cache` [batch, kv_heads, steps, head_dim] followed by `added` along the steps.
//
// Without autograd a cache is a view of a buffer with room to spare, so one more step costs one
// copy of that step; the buffer doubles when it is full. With a window (0: none) older steps than
// it can see are dropped on that occasion, so memory stays below twice the window. Under autograd
// the result is a new tensor, for the graph.
at::Tensor append(const at::Tensor& cache, const at::Tensor& added, int64_t window);

}  // namespace gamut::attention
