// The gated delta rule, and SSD as a case of it, by the CUDA kernels of the tensors' device.
#pragma once

#include <ATen/core/Tensor.h>

#include "cuda/table.h"
#include "ops/gated_delta_rule/delta_rule.h"

namespace gamut::ops {

// What a caller of the kernels is: messages name it, and SSD has no solve, states [.., d_v, d_k]
// and maybe a skip.
enum class DeviceRule { gated_delta, ssd };

// The kernels for such an input; null where there are none for its device, types or sizes.
const cuda::KernelTable* delta_rule_kernels(const DeltaRuleInput& input);

// `skip` [value_heads], D of SSD: D v is added to the output; or undefined. States are of the
// layout of the rule. Differentiable once in every input and the skip; the results do not depend on
// the order in which the device works, to the bit. The kernels choose their own chunks.
DeltaRuleResult delta_rule_on_device(const DeltaRuleInput& input, DeviceRule rule,
                                     const at::Tensor& skip = {});

}  // namespace gamut::ops
