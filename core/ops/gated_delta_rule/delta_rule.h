// The forms in which the gated delta rule is computed, all with the same arguments and results; see
// README.md for the equations. The operator chooses among them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gamut::ops {

// Checked: shapes fit, all on one device.
struct DeltaRuleInput {
  at::Tensor q, k;  // [batch, time, heads, d_k]; used as given, not normalised
  at::Tensor v;  // [batch, time, value_heads, d_v]; value head j reads head j * heads / value_heads
  at::Tensor g, beta;  // [batch, time, value_heads]; g is the log of the decay, <= 0
  // [sequences, value_heads, d_k, d_v]; undefined: zero. A sequence is a row of the batch or, with
  // cu_seqlens (int64 on the CPU, offsets into the flattened steps, none twice), a document.
  at::Tensor initial_state;
  at::Tensor cu_seqlens;
  double scale = 1.0;
};

struct DeltaRuleResult {
  at::Tensor output;       // [batch, time, value_heads, d_v], dtype of v
  at::Tensor final_state;  // [sequences, value_heads, d_k, d_v], float32, or float64 for such input
};

// The definition, step by step, document by document, in differentiable operators and the dtype of
// the input, on any device.
DeltaRuleResult delta_rule_reference(const DeltaRuleInput& input);

// In chunks of `chunk_size` steps (a power of two, at least 16), by LibTorch's batched products, on
// any device: parallel inside a chunk and over all chunks but for the state. Differentiable once in
// every input. float64 is computed in float64, everything else in float32.
DeltaRuleResult delta_rule_composed(const DeltaRuleInput& input, int64_t chunk_size);

// By the CPU kernels, fused: in chunks of `chunk_size` steps (a power of two, at least 16), few
// steps without gradients one by one. Differentiable once in every input. Results do not depend on
// the number of threads.
DeltaRuleResult delta_rule_fused(const DeltaRuleInput& input, int64_t chunk_size);

// Up to this many steps the plain recurrence beats a chunk.
constexpr int64_t kRecurrentSteps = 8;

// The recurrence step by step, on any device: for decoding, without gradients and without
// documents.
DeltaRuleResult delta_rule_recurrent(const DeltaRuleInput& input);

}  // namespace gamut::ops
