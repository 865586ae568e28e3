// The gradients of inputs: between the steps of the backward pass and the files that each hold the
// instances of one element type.
#pragma once

#include "ops/gated_delta_rule/cuda/backward.h"

namespace gamut::cuda {

Status gradients_bfloat16(const DeltaRuleBackward& args, Stream stream);
Status gradients_float16(const DeltaRuleBackward& args, Stream stream);
Status gradients_float32(const DeltaRuleBackward& args, Stream stream);

}  // namespace gamut::cuda
