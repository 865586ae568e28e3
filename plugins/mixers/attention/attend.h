// Softmax attention over spans of queries and keys.
#pragma once

#include <ATen/core/Tensor.h>

#include "spans.h"

namespace gamut::attention {

// softmax(scale q k^T) v over the keys that are seen.
//   q     [batch, heads, queries, head_dim]
//   k, v  [rows, kv_heads, keys, head_dim]; query head h reads kv head h / (heads / kv_heads)
//   dropout  of the softmax's weights
// -> [batch, queries, heads, head_dim]. On the CPU without dropout this is gamut::attention, else
// LibTorch's kernels, piece by piece.
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Seen& seen,
                  double scale, double dropout);

}  // namespace gamut::attention
