// The gated delta rule step by step: for decoding, and as the reference of the chunked form.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gamut/error.h>

#include "gated_delta_rule.h"

namespace gamut::gdn {

using at::Tensor;

DeltaRuleResult gated_delta_rule_recurrent(const DeltaRuleInput& in) {
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

namespace {

// One sequence: q, k, v [time, heads, d], state [heads, d_k, d_v] -> {output, final state}.
std::pair<Tensor, Tensor> reference_sequence(const Tensor& q, const Tensor& k, const Tensor& v,
                                             const Tensor& g, const Tensor& beta, Tensor state) {
  std::vector<Tensor> outputs;
  for (int64_t t = 0; t < v.size(0); ++t) {
    state = state * g[t].exp().view({-1, 1, 1});
    const auto read = at::einsum("hkv,hk->hv", {state, k[t]});
    const auto error = beta[t].unsqueeze(-1) * (v[t] - read);
    state = state + at::einsum("hk,hv->hkv", {k[t], error});
    outputs.push_back(at::einsum("hkv,hk->hv", {state, q[t]}));
  }
  return {outputs.empty() ? v : at::stack(outputs), state};
}

}  // namespace

DeltaRuleResult gated_delta_rule_reference(const DeltaRuleInput& in) {
  const int64_t batch = in.v.size(0), time = in.v.size(1), heads = in.v.size(2);
  const int64_t repeat = heads / in.q.size(2);
  const auto q = in.q.repeat_interleave(repeat, 2).flatten(0, 1) * in.scale;
  const auto k = in.k.repeat_interleave(repeat, 2).flatten(0, 1);
  const auto v = in.v.flatten(0, 1), g = in.g.flatten(0, 1), beta = in.beta.flatten(0, 1);
  const auto offsets =
      in.cu_seqlens.defined() ? in.cu_seqlens : at::arange(batch + 1, at::kLong) * time;
  std::vector<Tensor> outputs, states;
  for (int64_t s = 0; s + 1 < offsets.numel(); ++s) {
    const int64_t begin = offsets[s].item<int64_t>(), end = offsets[s + 1].item<int64_t>();
    auto initial = in.initial_state.defined()
                       ? in.initial_state[s]
                       : at::zeros({heads, k.size(-1), v.size(-1)}, v.options());
    auto [output, state] =
        reference_sequence(q.slice(0, begin, end), k.slice(0, begin, end), v.slice(0, begin, end),
                           g.slice(0, begin, end), beta.slice(0, begin, end), initial);
    outputs.push_back(output);
    states.push_back(state);
  }
  return {at::cat(outputs).view_as(in.v), at::stack(states)};
}

}  // namespace gamut::gdn
