// Causal softmax attention with an optional window, through LibTorch's fused kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gamut::attention {

// The queries are the last of the keys' steps: query i sees key j when j <= i + (keys - queries)
// and, with a window, when it is one of the last `window` of those (the query's own included).
//   q     [batch, heads, queries, head_dim]
//   k, v  [batch, kv_heads, keys, head_dim]; query head h reads kv head h / (heads / kv_heads)
//   window  0: none
// No mask larger than a block of queries is made.
at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            int64_t window, double scale);

}  // namespace gamut::attention
