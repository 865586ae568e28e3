// The definition of the gated delta rule, step by step: what tests compare the other forms with.
#include <ATen/ATen.h>

#include "ops/gated_delta_rule/delta_rule.h"

namespace gamut::ops {

using at::Tensor;

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

DeltaRuleResult delta_rule_reference(const DeltaRuleInput& in) {
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

}  // namespace gamut::ops
