#include "ops/ssd/device.h"

#include "ops/gated_delta_rule/device.h"

namespace gamut::ops {

using at::Tensor;

bool ssd_has_kernels(const Tensor& x, const Tensor& dt, const Tensor& B, const Tensor& C,
                     const Tensor& initial_state) {
  return delta_rule_kernels({C, B, x, dt, dt, initial_state, {}, 1.0}) != nullptr;
}

std::tuple<Tensor, Tensor> ssd_on_device(const DeltaRuleInput& input, const Tensor& D) {
  const auto result = delta_rule_on_device(input, DeviceRule::ssd, D);
  return {result.output, result.final_state};
}

}  // namespace gamut::ops
