// Which queries see which keys.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/documents.h>

#include <cstdint>
#include <vector>

namespace gamut::attention {

// Queries [query, query + queries) of row `row` and keys [key, key + keys) of row `key_row`.
struct Span {
  int64_t row, query, queries, key_row, key, keys;
};

// Spans come in the order of rows and queries, and cover all of them; no two share keys. Causal:
// the last query of a span sees its last key, and each at most `window` keys (0: all). Otherwise
// every query sees all keys of its span.
struct Seen {
  std::vector<Span> spans;
  bool causal;
  int64_t window;
};

// Causal attention within each document; a step sees itself and the window - 1 before it (0: all).
// The keys of a row are `cached` earlier steps, then those of this call; `before[row]` of the
// cached ones belong to the row's first document (all zeros without a state).
Seen causal_spans(const Documents& documents, const std::vector<int64_t>& before, int64_t cached,
                  int64_t window);

// Every query sees all of a memory: the keys [0, lengths[i]) of row i, or with packed documents of
// document i in the order of Documents, in row `entries[i]` of the keys.
Seen memory_spans(const Documents& documents, const std::vector<int64_t>& lengths,
                  const std::vector<int64_t>& entries);

}  // namespace gamut::attention
