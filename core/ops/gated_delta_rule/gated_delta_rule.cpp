// gamut::gated_delta_rule: what is asked for is checked, then the form that suits it is chosen.
#include "ops/gated_delta_rule/gated_delta_rule.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gamut/documents.h>
#include <gamut/error.h>

#include <cmath>
#include <vector>

#include "ops/gated_delta_rule/delta_rule.h"
#include "ops/gated_delta_rule/device.h"

namespace gamut::ops {

using at::Tensor;

namespace {

constexpr int64_t kChunk = 32;

void check_shapes(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& g,
                  const Tensor& beta) {
  GAMUT_CHECK(
      q.dim() == 4 && q.sizes() == k.sizes(),
      "gated_delta_rule: q and k must both be [batch, time, heads, key channels]; they are ",
      q.sizes(), " and ", k.sizes());
  GAMUT_CHECK(v.dim() == 4 && v.size(0) == q.size(0) && v.size(1) == q.size(1),
              "gated_delta_rule: v must be [batch = ", q.size(0), ", time = ", q.size(1),
              ", value heads, value channels]; it is ", v.sizes());
  GAMUT_CHECK(v.numel() > 0 && q.numel() > 0,
              "gated_delta_rule needs at least one step, head and channel; q is ", q.sizes(),
              " and v ", v.sizes());
  GAMUT_CHECK(v.size(2) % q.size(2) == 0, "gated_delta_rule: ", v.size(2),
              " value heads cannot share ", q.size(2), " heads of q and k evenly");
  const auto steps = v.sizes().slice(0, 3);
  GAMUT_CHECK(g.sizes() == steps && beta.sizes() == steps,
              "gated_delta_rule: g and beta must be [batch, time, value heads] = ", steps,
              "; they are ", g.sizes(), " and ", beta.sizes());
}

void check_types(const Tensor& q, const DeltaRuleInput& in) {
  for (const auto* x : {&in.q, &in.k, &in.v, &in.g, &in.beta, &in.initial_state}) {
    if (!x->defined()) continue;
    GAMUT_CHECK(
        at::isFloatingType(x->scalar_type()) && x->device() == q.device(),
        "gated_delta_rule: all inputs must be floating-point tensors on one device; one is ",
        x->scalar_type(), " on ", x->device(), ", q is on ", q.device());
  }
}

DeltaRuleInput checked(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& g,
                       const Tensor& beta, std::optional<double> scale,
                       const std::optional<Tensor>& initial_state,
                       const std::optional<Tensor>& cu_seqlens, int64_t chunk_size) {
  check_shapes(q, k, v, g, beta);
  DeltaRuleInput in{q, k, v, g, beta, initial_state.value_or(Tensor()), {}, 0};
  check_types(q, in);
  GAMUT_CHECK(
      chunk_size == 0 ||
          (chunk_size >= 16 && chunk_size <= 256 && (chunk_size & (chunk_size - 1)) == 0),
      "gated_delta_rule: chunk_size must be a power of two from 16 to 256, or 0 (chosen), not ",
      chunk_size);
  const Documents documents(cu_seqlens.value_or(Tensor()), v.size(0), v.size(1));
  in.cu_seqlens = documents.cu_seqlens();
  const std::vector<int64_t> state{documents.size(), v.size(2), k.size(3), v.size(3)};
  GAMUT_CHECK(
      !in.initial_state.defined() || in.initial_state.sizes().equals(state),
      "gated_delta_rule: initial_state must be [sequences, value heads, key channels, value "
      "channels] = ",
      at::IntArrayRef(state), "; it is ", in.initial_state.sizes());
  in.scale = scale.value_or(1 / std::sqrt(static_cast<double>(k.size(3))));
  return in;
}

DeltaRuleResult compute(const DeltaRuleInput& in, int64_t chunk_size) {
  if (delta_rule_kernels(in)) return delta_rule_on_device(in, DeviceRule::gated_delta);
  const int64_t chunk = chunk_size > 0 ? chunk_size : kChunk;
  if (in.v.device().is_cpu()) return delta_rule_fused(in, chunk);
  const bool few = in.v.size(1) <= kRecurrentSteps && !in.cu_seqlens.defined();
  if (few && !at::GradMode::is_enabled()) return delta_rule_recurrent(in);
  return delta_rule_composed(in, chunk);
}

}  // namespace

std::tuple<Tensor, Tensor> gated_delta_rule(const Tensor& q, const Tensor& k, const Tensor& v,
                                            const Tensor& g, const Tensor& beta,
                                            std::optional<double> scale,
                                            const std::optional<Tensor>& initial_state,
                                            const std::optional<Tensor>& cu_seqlens,
                                            int64_t chunk_size) {
  const auto result =
      compute(checked(q, k, v, g, beta, scale, initial_state, cu_seqlens, chunk_size), chunk_size);
  return {result.output, result.final_state};
}

std::tuple<Tensor, Tensor> gated_delta_rule_reference(
    const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& g, const Tensor& beta,
    std::optional<double> scale, const std::optional<Tensor>& initial_state,
    const std::optional<Tensor>& cu_seqlens, int64_t chunk_size) {
  const auto result =
      delta_rule_reference(checked(q, k, v, g, beta, scale, initial_state, cu_seqlens, chunk_size));
  return {result.output, result.final_state};
}

}  // namespace gamut::ops
