// Arguments of attention's kernels; the equation is in attention.h.
//
// A kernel does a strip of queries at a time, as many as a few registers hold, one query a lane:
// scores, weights and results are kept transposed, [keys, queries] and [head_dim, queries], so that
// maxima and sums over keys run down the lanes, and the products broadcast k and v as they lie in
// memory. With bfloat16 a product takes its operands as words of two elements that are neighbours
// in the direction of its sum; what lies otherwise is packed so first.
#pragma once

#include <stdint.h>

#include "ops/simd/element.h"
#include "ops/simd/isa.h"

namespace gamut::ops {

constexpr int64_t kAttentionQueries = 48;  // of a strip, at most
constexpr int64_t kAttentionKeys = 128;    // of a block, at most; even

// A width of rows in scratch: whole registers.
constexpr int64_t attention_padded(int64_t n) {
  return (n + 15) / 16 * 16;
}

// Rows of one head, `step` elements apart, contiguous inside.
struct AttentionRows {
  const void* data;
  int64_t step;
};
struct AttentionOutput {
  void* data;
  int64_t step;
};

// Whether a span has so few queries (decoding) that one register holds them, but in float64, its
// results are kept as rows, v is read as it lies, and there are no pairs.
constexpr bool attention_has_few(int64_t queries, int64_t head_dim) {
  return queries <= 8 && head_dim >= 16;
}

// A span of one query head. S is float for float32 and bfloat16, double for float64. With bfloat16
// head_dim and the steps are even.
struct AttentionHead {
  Element element;
  int64_t head_dim, queries, keys;
  bool causal;
  int64_t window;
  double scale;
  AttentionRows q, k, v;
  // bfloat16: words [(keys + 1) / 2, head_dim], keys 2i and 2i + 1 of a channel in one word; of v
  // forward, unless it has few queries; of k backward. Otherwise not read.
  const void* pairs;
};

// Queries [begin, end) of a head.
struct AttentionForward {
  AttentionHead head;
  int64_t begin, end;
  AttentionOutput y;
  AttentionOutput log_sums;  // S, of each query: log2 of the sum over keys of 2^(score / log 2)
  void* scratch;             // attention_forward_scratch(head_dim) doubles
};

// All queries of a head.
struct AttentionBackward {
  AttentionHead head;
  AttentionRows y, dy, log_sums;
  AttentionOutput dq;
  void *dk, *dv;  // S [keys, attention_padded(head_dim)]: this head's part
  void* scratch;  // attention_backward_scratch(head_dim) doubles
};

// The words `pairs` of bfloat16 rows.
struct AttentionPairs {
  AttentionRows from;
  int64_t steps, head_dim;
  void* to;
};

// to[i] = sum over p < parts of from[p][i] for steps i < steps.
struct AttentionSum {
  Element element;
  int64_t parts, part_size, steps, head_dim;
  const void* from;  // S, rows attention_padded(head_dim) apart, parts part_size elements
  AttentionOutput to;
};

constexpr int64_t attention_forward_scratch(int64_t head_dim) {
  return kAttentionQueries * (2 * attention_padded(head_dim) + 2 * kAttentionKeys + 2) + 16;
}
constexpr int64_t attention_backward_scratch(int64_t head_dim) {
  return kAttentionQueries * (6 * attention_padded(head_dim) + 5 * kAttentionKeys + 2) + 16;
}

GAMUT_ISA_KERNEL(attention_forward, AttentionForward)
GAMUT_ISA_KERNEL(attention_backward, AttentionBackward)
GAMUT_ISA_KERNEL(attention_pairs, AttentionPairs)
GAMUT_ISA_KERNEL(attention_sum, AttentionSum)

}  // namespace gamut::ops
