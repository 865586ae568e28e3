// A few steps of the gated delta rule, or of SSD, without chunks: decoding.
#pragma once

#include "ops/gated_delta_rule/cuda/delta_rule.h"

namespace gamut::cuda {

constexpr int64_t kDeltaRuleMaxSteps = 8;  // of the longest sequence

// Reads of `args` the shape, inputs and states, and writes the output and final state; what chunks
// need is not used. The final state may be the initial one. One block for each sequence, value head
// and 32 columns of d_v, which reads its part of the state once and writes it once.
Status delta_rule_steps(const DeltaRuleForward& args, Stream stream);

}  // namespace gamut::cuda
