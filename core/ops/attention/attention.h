// Softmax attention with grouped heads, causal or not, over spans of queries and keys.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace gamut::ops {

// y_i = sum_j softmax_j(scale <q_i, k_j>) v_j over the keys j that query i sees, computed by blocks
// with a running maximum and sum, so that scores are never in memory (Dao et al., "FlashAttention",
// 2022, arXiv:2205.14135; Milakov & Gimelshein 2018, arXiv:1805.02867).
//   q        [batch, queries, heads, head_dim]; its type is the output's
//   k, v     [rows, keys, kv_heads, head_dim], of the type of q; query head h reads kv head
//            h / (heads / kv_heads)
//   scale    none: 1 / sqrt(head_dim)
//   causal   the last query of a span sees its last key, the one before it all but that, and so on
//   window   with causal, the keys that a query sees at most, its own and those before it; 0: all
//   spans    which queries see which keys, int64 [spans, 6] on the CPU, in a line: row of q, first
//            query, queries, row of k, first key, keys. No two may share queries or keys. None:
//            row i of q and row i of k, from end to end.
// -> [batch, queries, heads, head_dim]; zero where a query sees no key.
//
// Products are taken in the type of q; scores, their exponentials and all sums are float32 (float64
// for q of float64). The backward pass computes the scores again. Results do not depend on the
// number of threads. Throws gamut::Error when shapes do not fit.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     std::optional<double> scale, bool causal, int64_t window,
                     const std::optional<at::Tensor>& spans);

// The same with all scores in memory, in LibTorch's operators, on any device and in any type.
at::Tensor attention_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               std::optional<double> scale, bool causal, int64_t window,
                               const std::optional<at::Tensor>& spans);

}  // namespace gamut::ops
