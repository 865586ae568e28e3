// What the forms of linear_cross_entropy share.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/cross_entropy/rows.h"

namespace gamut::ops {

struct LinearHead {
  at::Tensor x;        // [rows, d]
  at::Tensor weight;   // [heads * ids, d], in the type of x
  at::Tensor targets;  // [rows, heads]
  CrossEntropyOptions options;
  int64_t ids;

  int64_t rows() const { return x.size(0); }
  int64_t columns() const { return weight.size(0); }
  int64_t heads() const { return columns() / ids; }
};

// Gradients of the loss times `count`, or of the loss itself where that is undefined; d_weight in
// the type of sums. Undefined themselves unless asked for.
struct LinearResult {
  at::Tensor loss, dx, d_weight, count;
};

// Rows whose logits are `logits_at_once` about, a multiple of what products like.
int64_t rows_at_once(int64_t columns, int64_t logits_at_once);

// d_weight += g^T x. In half the bits the products of a block are rounded, their sum is not.
void add_product(at::Tensor& d_weight, const at::Tensor& g, const at::Tensor& x);

}  // namespace gamut::ops
