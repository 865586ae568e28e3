// Softmax attention with grouped heads, causal or not, over spans of queries and keys.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>

namespace gamut::ops {

// y_i = sum_j softmax_j(scale <q_i, k_j>) v_j over the keys j that query i sees.
//   q        [batch, queries, heads, head_dim]; its type is the output's
//   k, v     [rows, keys, kv_heads, head_dim], of the type of q; query head h reads kv head
//            h / (heads / kv_heads)
//   scale    none: 1 / sqrt(head_dim)
//   causal   the last query of a span sees its last key, the one before it all but that, and so on
//   window   with causal, the keys that a query sees at most, its own and those before it; 0: all
//   spans    which queries see which keys, int64 [spans, 6] on the CPU, in a line: row of q, first
//            query, queries, row of k, first key, keys. No two may share queries or keys.
//            Undefined: row i of q and row i of k, from end to end.
// -> [batch, queries, heads, head_dim]; zero where a query sees no key. Scores are never in memory
// on the CPU. Throws gamut::Error when shapes do not fit.
static inline at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                   std::optional<double> scale = std::nullopt, bool causal = true,
                                   int64_t window = 0, const at::Tensor& spans = at::Tensor()) {
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, std::optional<double>,
                 bool, int64_t, const std::optional<at::Tensor>&);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::attention", "").typed<Signature>();
  return call.call(q, k, v, scale, causal, window,
                   spans.defined() ? std::optional<at::Tensor>(spans) : std::nullopt);
}

}  // namespace gamut::ops
