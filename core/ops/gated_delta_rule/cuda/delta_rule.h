// The CUDA kernels of the chunked gated delta rule as their callers see them; without its solve the
// rule is Mamba-2's SSD, and they compute that too. Equations and symbols: the operators' READMEs.
//
// Memory of a chunk is found without a table. A sequence that begins at step o and is the s-th one
// has its first chunk in slot o / C + s: chunks of two sequences never meet, and there are
// steps / C + sequences slots. Slots in which no chunk lies are not written.
#pragma once

#include <cstdint>

#include "cuda/types.h"

namespace gamut::cuda {

// Element (step, head, i) lies at data[step * step_stride + head * head_stride + i]. Steps count
// over the whole flattened batch.
struct DeltaRuleRows {
  const void* data;
  int64_t step_stride, head_stride;
};

struct DeltaRuleShape {
  Element element;           // E: of q, k, v, the output and their gradients
  int64_t sequences, steps;  // steps of all sequences
  // On the device: [sequences + 1], where sequences begin; null: each has steps / sequences steps.
  const int64_t* offsets;
  int64_t longest;                       // steps of the longest sequence
  int64_t heads, value_heads, d_k, d_v;  // value head j reads head j / (value_heads / heads)
  double scale;
  // True: the gated delta rule. False: SSD, that is V' = beta V, with q = C, k = B, beta = dt,
  // g = dt A and heads = groups.
  bool solve;
  bool value_first;  // initial and final states are [.., d_v, d_k] instead of [.., d_k, d_v]
};

constexpr int64_t kDeltaRuleMaxHead = 256;  // d_k and d_v at most

constexpr int64_t delta_rule_padded(int64_t n) {
  return (n + 15) / 16 * 16;
}

// C, the steps of a chunk: 64 where shared memory and registers allow it.
constexpr int64_t delta_rule_chunk(Element element, int64_t d_k) {
  return element == Element::float32 || d_k > 128 ? 32 : 64;
}
constexpr int64_t delta_rule_chunk(const DeltaRuleShape& shape) {
  return delta_rule_chunk(shape.element, shape.d_k);
}
constexpr int64_t delta_rule_slots(const DeltaRuleShape& shape) {
  return shape.steps / delta_rule_chunk(shape) + shape.sequences;
}

// Slots of runs of `run` chunks, counted as those of chunks are.
constexpr int64_t delta_rule_run_slots(const DeltaRuleShape& shape, int64_t run) {
  return shape.steps / (delta_rule_chunk(shape) * run) + shape.sequences;
}

// What is kept of a step and value head besides its inputs.
struct DeltaRuleGate {
  // The sum of g from the chunk's first step to this one, times log2(e), in two parts: differences
  // of sums matter, and may be small where the sums are large. Behind the sequence's end it stays.
  float sum, sum_low;
  float beta;  // 0 behind the end
  float left;  // exp of what is left to the chunk's end: rho
};
static_assert(sizeof(DeltaRuleGate) == 16);  // one asynchronous copy

// How a scan is cut into blocks; delta_rule_plan makes it.
struct DeltaRulePlan {
  int warps;    // of a block, each with 16 columns of d_v
  int64_t run;  // chunks of a run, into which sequences are cut; 0: they are not cut

  // Floats of DeltaRuleForward::runs: for each run and value head what it makes of a state of zero,
  // and its matrix.
  constexpr int64_t run_elements(const DeltaRuleShape& shape) const {
    const int64_t keys = delta_rule_padded(shape.d_k);
    return run == 0 ? 0
                    : delta_rule_run_slots(shape, run) * shape.value_heads *
                          (delta_rule_padded(shape.d_v) + keys) * keys;
  }
};

// "or null": absent, or not wanted.
struct DeltaRuleForward {
  DeltaRuleShape shape;
  DeltaRulePlan plan;
  DeltaRuleRows q, k, v;
  const float *g, *beta;  // [steps, value_heads]
  const float* skip;      // [value_heads]: D of SSD, its D x being added to the output; or null
  const float* initial_state;  // [sequences, value_heads, d_k, d_v] or null: zero

  DeltaRuleGate* gates;  // [slots, value_heads, C]
  void* inverse;         // E [slots, value_heads, C, C]: (I + A)^-1; not used without the solve
  float* runs;           // [plan.run_elements(shape)]

  void* output;        // E [steps, value_heads, d_v], contiguous, or null
  float* final_state;  // as the initial one, or null
  // For the backward pass, padded with zeros to multiples of 16, or null: the states that enter the
  // chunks, E [slots, value_heads, padded d_v, padded d_k], and V' transposed, E [slots,
  // value_heads, padded d_v, C].
  void *states, *errors;
};

// Whether there are kernels for the shape: heads of at most kDeltaRuleMaxHead channels.
constexpr bool delta_rule_supports(const DeltaRuleShape& shape) {
  return shape.d_k > 0 && shape.d_v > 0 && shape.d_k <= kDeltaRuleMaxHead &&
         shape.d_v <= kDeltaRuleMaxHead;
}

// The plan for so many multiprocessors; 0: those of the current device.
DeltaRulePlan delta_rule_plan(const DeltaRuleShape& shape, int multiprocessors);

// Writes `gates` and, with the solve, `inverse`: parallel over chunks and heads.
Status delta_rule_prepare(const DeltaRuleForward& args, Stream stream);

// Reads those and writes outputs and states, chunk after chunk: parallel over sequences or their
// runs, heads and slices of d_v.
Status delta_rule_scan(const DeltaRuleForward& args, Stream stream);

}  // namespace gamut::cuda
