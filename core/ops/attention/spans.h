// Which queries of an attention see which keys, checked.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace gamut::ops {

// Queries [query, query + queries) of row `row` and keys [key, key + keys) of row `key_row`.
struct AttentionSpan {
  int64_t row, query, queries, key_row, key, keys;
};

// The arguments of gamut::attention, which this checks, with its spans as a list. Throws
// gamut::Error.
std::vector<AttentionSpan> attention_spans(const at::Tensor& q, const at::Tensor& k,
                                           const at::Tensor& v, bool causal, int64_t window,
                                           const std::optional<at::Tensor>& spans);

}  // namespace gamut::ops
