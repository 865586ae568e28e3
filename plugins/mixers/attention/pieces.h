// Which queries see which keys, cut into pieces that one call of a fused kernel can do.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/documents.h>

#include <cstdint>
#include <vector>

namespace gamut::attention {

// Queries [query, query + queries) of `rows` rows from `row` on see keys [key, key + keys) of as
// many rows from `key_row` on.
struct Piece {
  enum class Sees { all, own_and_earlier, masked };

  int64_t row, rows, query, queries;
  int64_t key_row, key, keys;  // no keys: the output is zero
  Sees sees = Sees::all;       // own_and_earlier: keys = queries, and query i sees keys [0, i]
  at::Tensor mask{};           // masked: [queries, keys], added to the scores, 0 or -infinity
};

// Pieces come in the order of rows and queries. Those of equal queries are consecutive.
using Pieces = std::vector<Piece>;

struct Masking {
  int64_t window;  // a step sees itself and the window - 1 before it; 0: all
  // Whether cached and new keys may be two pieces of the same queries, so that neither needs a
  // mask.
  bool may_split_keys;
  at::TensorOptions mask;  // type and device of the masks
};

// Causal attention within each document. The keys of a row are `cached` earlier steps, then those
// of this call; `before[row]` of the cached ones belong to the row's first document (all zeros
// without a state). Long documents need no mask, windows one of a block of queries, and short
// documents are done several at a time.
Pieces causal_pieces(const Documents& documents, const std::vector<int64_t>& before, int64_t cached,
                     const Masking& masking);

// Every query sees all of a memory: the keys [0, lengths[i]) of row i, or with packed documents of
// document i in the order of Documents, in row `entries[i]` of the keys.
Pieces memory_pieces(const Documents& documents, const std::vector<int64_t>& lengths,
                     const std::vector<int64_t>& entries);

}  // namespace gamut::attention
