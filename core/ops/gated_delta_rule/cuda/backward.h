// The backward pass of the chunked gated delta rule, and of SSD, on a device. Equations and
// symbols: the README of the operator; Z, dP and the rest are those of its section "Backward".
#pragma once

#include <cstdint>

#include "cuda/types.h"
#include "ops/gated_delta_rule/cuda/delta_rule.h"

namespace gamut::cuda {

// How the pass is cut into blocks; delta_rule_backward_plan makes it.
struct DeltaRuleBackwardPlan {
  DeltaRulePlan scan;  // of the reverse scan
  int scan_stages;     // chunks in its shared memory: 2, or 1 where those have no room
  // Of the gradients of inputs:
  int slices;   // of d_k
  int parts;    // into which the value heads that read one head are divided
  int columns;  // of d_v in shared memory at a time
  int stages;   // how many times: 2, or 1

  // Floats of DeltaRuleBackward::sums: what several blocks add to.
  constexpr int64_t sum_elements(const DeltaRuleShape& shape) const {
    const int64_t keys = shape.steps * shape.heads * shape.d_k;
    return (parts > 1 ? 2 * parts * keys : 0) +
           (slices > 1 ? 2 * slices * shape.steps * shape.value_heads : 0);
  }
};

// "or null": absent, or not wanted. E is shape.element, C the steps of a chunk; `padded` means to a
// multiple of 16, with zeros.
struct DeltaRuleBackward {
  DeltaRuleShape shape;
  DeltaRuleBackwardPlan plan;
  DeltaRuleRows q, k, v, d_output;
  const float* skip;     // as in the forward pass, or null
  const float* d_final;  // of the final states, in their layout, or null: zero

  // As the forward pass made them; `states` and `errors` by a scan that was asked for them.
  const DeltaRuleGate* gates;
  const void *inverse, *states, *errors;

  // Memory to work in.
  void* scores;    // E [slots, value_heads, C, C]: P, with the scale
  void* d_errors;  // E [slots, value_heads, padded d_v, C]: Z transposed
  void* d_states;  // E [slots, value_heads, padded d_v, padded d_k]: of the states that leave, dH
  float* runs;     // [plan.scan.run_elements(shape)]
  float* sums;     // [plan.sum_elements(shape)]

  void *d_q, *d_k;      // E [steps, heads, d_k], contiguous
  void* d_v;            // E [steps, value_heads, d_v], contiguous
  float *d_g, *d_beta;  // [steps, value_heads]
  float* d_skip;        // [slots, value_heads]: parts of dD, to be summed over slots; or null
  float* d_initial;     // in the layout of the states, or null
};

// The plan for so many multiprocessors; 0: those of the current device.
DeltaRuleBackwardPlan delta_rule_backward_plan(const DeltaRuleShape& shape, int multiprocessors);

// All gradients: P, then dH and Z from the last chunk to the first, then, parallel over chunks, the
// gradients of inputs. They do not depend on the order in which blocks run, to the bit.
Status delta_rule_backward(const DeltaRuleBackward& args, Stream stream);

// Its steps, in this order.
Status delta_rule_scores(const DeltaRuleBackward& args, Stream stream);
Status delta_rule_reverse_scan(const DeltaRuleBackward& args, Stream stream);
Status delta_rule_gradients(const DeltaRuleBackward& args, Stream stream);

}  // namespace gamut::cuda
