// The kernels of the gated delta rule: one sequence and head a call; see README.md for the
// equations.
//
// T below is double for Element::float64 and float otherwise: the type of gates, states and sums.
#pragma once

#include <stdint.h>

#include "ops/simd/element.h"
#include "ops/simd/isa.h"

namespace gamut::ops {

// Element (step, head, i) lies at data[step * step_stride + head * head_stride + i].
struct DeltaRuleRows {
  const void* data;
  int64_t step_stride, head_stride;
};

struct DeltaRuleSizes {
  Element element;  // of q, k, v, the output and their gradients
  int64_t heads, value_heads, d_k, d_v;
  int64_t chunk;  // a multiple of kDeltaRulePad
  double scale;
};

// Everything padded in the scratch memory and in saved states is padded with zeros to a multiple of
// this; it holds a whole number of vectors of any type.
constexpr int64_t kDeltaRulePad = 16;

// What all directions take. Steps count over the whole flattened batch.
struct DeltaRuleCall {
  DeltaRuleSizes sizes;
  DeltaRuleRows q, k, v;
  const void *g, *beta;  // T [steps, value_heads]
  int64_t first, last;   // steps of the sequence
  void* scratch;         // aligned to 64 bytes
};

// Entering states are saved as T [chunks, value_heads, d_k, padded d_v]; null: nothing is saved.
struct DeltaRuleForward : DeltaRuleCall {
  int64_t sequence;           // its place among the initial and final states
  int64_t head;               // of the values
  int64_t column, columns;    // the slice of d_v to compute; column is a multiple of the pad
  const void* initial_state;  // T [sequences, value_heads, d_k, d_v], or null: zero
  void* output;               // [steps, value_heads, d_v]
  void* final_state;          // as the initial one
  void* states;               // those of this sequence
};

// For all value heads that share a head of q and k, and for a piece of a sequence that begins with
// a chunk. Without d_q it computes d_initial alone, of a slice of d_v; otherwise of all columns.
struct DeltaRuleBackward : DeltaRuleCall {
  int64_t head;             // of q and k
  int64_t column, columns;  // the slice of d_v; column is a multiple of the pad
  DeltaRuleRows d_output;
  const void* states;   // those of this piece, as the forward kernel saved them
  const void* d_final;  // of the state after it: T [value_heads, d_k, d_v], or null: zero
  void *d_q, *d_k;      // [steps, heads, d_k]
  void* d_v;            // [steps, value_heads, d_v]
  void *d_g, *d_beta;   // T [steps, value_heads]
  void* d_initial;      // of the state before it, as d_final; null: not wanted
};

// A few steps without chunks; column and columns as in the forward kernel, `states` is not used.
GAMUT_ISA_KERNEL(delta_rule_steps, DeltaRuleForward)
GAMUT_ISA_KERNEL(delta_rule_forward, DeltaRuleForward)
GAMUT_ISA_KERNEL(delta_rule_backward, DeltaRuleBackward)

}  // namespace gamut::ops
