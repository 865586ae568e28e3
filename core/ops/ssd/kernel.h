// Arguments of the kernels of gamut::ssd; equations and symbols are in ssd.h.
#pragma once

#include <stdint.h>

#include "ops/simd/element.h"
#include "ops/simd/isa.h"

namespace gamut::ops {

// Most heads of a unit. They share the products of C and B.
constexpr int kSsdHeads = 8;
constexpr int kSsdMaxChunk = 256;

// Rows of a tensor, one for each step, `step` elements apart. Written rows are contiguous.
struct SsdRows {
  Element element;
  const void* data;
  int64_t step;
};
struct SsdRowsOut {
  Element element;
  void* data;
};

// A unit of work: heads [first_head, first_head + n_heads) of one group, through steps [begin, end)
// of one document. S is float, or double where x is float64. "or null": where something is absent.
struct SsdArguments {
  bool is_double;  // S
  int64_t heads, head_dim, groups, d_state, chunk;
  int64_t begin, end, document, first_head, n_heads;
  SsdRows x, b, c;
  const void* dt;             // S [steps, heads], after bias and softplus
  const void* g;              // S [steps, heads]: dt A
  const void* d;              // S [heads] or null
  const void* initial_state;  // S [documents, heads, head_dim, d_state] or null
  // S [chunks, heads, d_state, padded head_dim]: states entering chunks. Written by the forward
  // pass (or null), read by the backward pass.
  void* chunk_states;
  int64_t first_chunk;  // of the document

  SsdRowsOut y;
  void* final_state;

  SsdRows dy;
  const void* d_final_state;  // or null
  SsdRowsOut dx;
  void *ddt, *dg;         // S [steps, heads]
  void *d_b, *d_c;        // S [steps, groups, d_state]: the part of this unit's heads
  void* d_d;              // S [documents, heads]
  void* d_initial_state;  // or null

  void* scratch;  // S, zeros at first, this thread's own
};

// Rows of scratch matrices are padded to this many elements.
constexpr int64_t kSsdPad = 16;
#define GAMUT_SSD_PADDED(n) (((n) + kSsdPad - 1) / kSsdPad * kSsdPad)

GAMUT_ISA_KERNEL(ssd_forward, SsdArguments)
GAMUT_ISA_KERNEL(ssd_backward, SsdArguments)
// The recurrence step by step, for a few steps without gradients.
GAMUT_ISA_KERNEL(ssd_steps, SsdArguments)

}  // namespace gamut::ops
