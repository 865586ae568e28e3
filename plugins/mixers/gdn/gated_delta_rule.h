// The gated delta rule: per head, a matrix state that decays, is corrected towards v at key k, and
// is read by q (Yang, Kautz, Hatamizadeh, "Gated Delta Networks", 2024, arXiv:2412.06464):
//
//     S = exp(g_t) S
//     S = S + k_t (beta_t (v_t - S^T k_t))^T
//     o_t = scale S^T q_t
//
// Three ways to compute it, all with the same arguments and results.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace gamut::gdn {

struct DeltaRuleInput {
  at::Tensor q, k;  // [batch, time, heads, d_k]; used as given, not normalised
  at::Tensor
      v;  // [batch, time, value_heads, d_v]; value head j reads head j / (value_heads / heads)
  at::Tensor g, beta;  // [batch, time, value_heads]; g is the log of the decay, <= 0
  // [sequences, value_heads, d_k, d_v]; undefined: zero. A sequence is a row of the batch or, with
  // cu_seqlens (int64 on the CPU, offsets into the flattened steps), a document.
  at::Tensor initial_state;
  at::Tensor cu_seqlens;
  double scale = 1.0;
};

struct DeltaRuleResult {
  at::Tensor output;       // [batch, time, value_heads, d_v], dtype of v
  at::Tensor final_state;  // [sequences, value_heads, d_k, d_v], float32, or float64 for such input
};

// For training and prefill: chunks of `chunk_size` steps (a power of two, at least 16), parallel
// inside a chunk and over all chunks but for the state. Differentiable once in every input. float64
// is computed in float64, everything else in float32.
DeltaRuleResult gated_delta_rule_chunked(const DeltaRuleInput& input, int64_t chunk_size);

// For decoding: the recurrence step by step, without gradients and without documents.
DeltaRuleResult gated_delta_rule_recurrent(const DeltaRuleInput& input);

// What the others are tested against: the definition above, step by step, document by document,
// in differentiable operations and the dtype of the input.
DeltaRuleResult gated_delta_rule_reference(const DeltaRuleInput& input);

}  // namespace gamut::gdn
