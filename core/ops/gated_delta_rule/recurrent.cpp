// The gated delta rule step by step in LibTorch's operators: decoding where there is no kernel.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gamut/error.h>

#include "ops/gated_delta_rule/delta_rule.h"

namespace gamut::ops {

using at::Tensor;

DeltaRuleResult delta_rule_recurrent(const DeltaRuleInput& in) {
  GAMUT_CHECK(!in.cu_seqlens.defined(), "the step-by-step gated delta rule takes no documents");
  const at::NoGradGuard no_grad;
  const int64_t time = in.v.size(1), heads = in.v.size(2), repeat = heads / in.q.size(2);
  const auto dtype = in.v.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  // Heads before time; a row vector for each step: [batch, value_heads, time, 1, d].
  const auto rows = [&](const Tensor& x) {
    auto y = x.to(dtype);
    if (y.size(2) != heads) y = y.repeat_interleave(repeat, 2);
    return y.transpose(1, 2).unsqueeze(3);
  };
  const auto q = rows(in.q).mul(in.scale), k = rows(in.k), v = rows(in.v);
  const auto decay = rows(in.g.unsqueeze(-1)).exp(), beta = rows(in.beta.unsqueeze(-1));
  auto state = in.initial_state.defined()
                   ? in.initial_state.to(dtype, /*non_blocking=*/false, /*copy=*/true)
                   : at::zeros({v.size(0), heads, k.size(-1), v.size(-1)}, v.options());
  auto output = at::empty({v.size(0), heads, time, 1, v.size(-1)}, v.options());
  for (int64_t t = 0; t < time; ++t) {
    const auto key = k.select(2, t);
    state.mul_(decay.select(2, t));
    auto error = v.select(2, t).sub(at::matmul(key, state)).mul_(beta.select(2, t));
    state.add_(key.transpose(-1, -2) * error);
    output.select(2, t).copy_(at::matmul(q.select(2, t), state));
  }
  return {output.squeeze(3).transpose(1, 2).to(in.v.scalar_type()), state};
}

}  // namespace gamut::ops
