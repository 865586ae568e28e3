// Keys and values of a state: a buffer that grows, and a ring for windows.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gamut::attention {

// `cache` [batch, kv_heads, steps, head_dim] followed by `added` along the steps.
//
// Without autograd a cache is a view of a buffer with room to spare, so one more step costs one
// copy of that step; the buffer doubles when it is full. Under autograd the result is a new tensor,
// for the graph.
at::Tensor append(const at::Tensor& cache, const at::Tensor& added);

// The last `window` steps [batch, kv_heads, min(written, window), head_dim], step s in slot
// s mod window. `written` steps have been added before.

// The last `count` of them, in order.
at::Tensor latest(const at::Tensor& ring, int64_t written, int64_t window, int64_t count);

// The ring after `added` [batch, kv_heads, steps, head_dim]. Once the window is full and without
// autograd, one step is written in place.
at::Tensor write(const at::Tensor& ring, const at::Tensor& added, int64_t written, int64_t window);

}  // namespace gamut::attention
