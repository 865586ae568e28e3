// Softmax attention over pieces of queries and keys, through LibTorch's fused kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "pieces.h"

namespace gamut::attention {

// softmax(scale q k^T) v over the keys that the pieces show.
//   q     [batch, heads, queries, head_dim]
//   k, v  [rows, kv_heads, keys, head_dim]; query head h reads kv head h / (heads / kv_heads)
//   dropout  of the softmax's weights
// -> [batch, queries, heads, head_dim].
//
// On the CPU without dropout each piece is one call of the flash kernel, forward and backward, and
// pieces that share queries are merged by the logarithms of their sums, so that scores are never in
// memory; needs pieces made with `can_split_keys(q, dropout)`. There are no second derivatives.
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const Pieces& pieces, double scale, double dropout);

// Whether `attend` merges pieces of equal queries, for causal_pieces.
bool can_split_keys(const at::Tensor& q, double dropout);

}  // namespace gamut::attention
