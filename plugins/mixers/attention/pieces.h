// Spans cut into calls of scaled_dot_product_attention, for devices that have no kernel of our own,
// and for dropout.
#pragma once

#include "spans.h"

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

// Pieces come in the order of rows and queries. Rows that are alike are done together, long
// documents need no mask, windows one of a block of queries, and short documents are done several
// at a time. `mask` is the type and device of the masks.
using Pieces = std::vector<Piece>;
Pieces pieces_of(const Seen& seen, const at::TensorOptions& mask);

}  // namespace gamut::attention
