// What the Gated DeltaNet layer computes: projections to features, the delta rule over them, and
// from its reads to the output.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gamut/mixer_input.h>
#include <gamut/ops.h>

#include "gdn.h"

namespace gamut::gdn {

using at::Tensor;

namespace {

constexpr double kL2Eps = 1e-6;

Tensor optional_feature(const NamedTensors& features, std::string_view name) {
  for (const auto& f : features) {
    if (f.name == name) return f.tensor;
  }
  return {};
}

}  // namespace

void Gdn::check_input(const Tensor& x, const State* state) const {
  GAMUT_CHECK(x.dim() == 3 && x.size(2) == d_model_ && x.size(1) >= 1,
              "gdn expects x [batch, time >= 1, d_model = ", d_model_, "], not ", x.sizes());
  GAMUT_CHECK(x.scalar_type() == q_proj_.scalar_type() ||
                  at::autocast::is_autocast_enabled(x.device().type()),
              "gdn has ", q_proj_.scalar_type(), " parameters but got ", x.scalar_type(),
              " input; convert one of them or use autocast");
  if (state) check_state_rows((*state)["recurrent"], x);
}

// The short convolution with its activation, and if `is_normed` the l2 norm of each head of d_k;
// continues from the state and updates it.
Tensor Gdn::convolve(const Tensor& x, const Tensor& weight, const char* state_name,
                     const Documents& documents, State* state, bool is_normed) const {
  if (!use_conv_) return use_silu_ ? at::silu(x) : x;
  std::optional<Tensor> before;
  if (state) {
    const auto& kept = (*state)[state_name];
    before = kept;
    if (documents.packed()) {
      auto shape = kept.sizes().vec();
      shape[0] = documents.size();
      before = memory_by_document(documents, {kept}, {at::zeros(shape, kept.options())})[0];
    }
  }
  const auto offsets = documents.cu_seqlens();
  const auto cu_seqlens = offsets.defined() ? std::optional<Tensor>(offsets) : std::nullopt;
  const auto activation = use_silu_ ? std::optional<c10::string_view>("silu") : std::nullopt;
  auto [y, after] =
      is_normed
          ? ops::causal_conv1d_l2_norm(x, weight, std::nullopt, d_k_, kL2Eps,
                                       qk_norm_ == QkNorm::l2_clamp, before, cu_seqlens, activation)
          : ops::causal_conv1d(x, weight, std::nullopt, before, cu_seqlens, activation);
  if (state) {
    after = after.detach();
    if (documents.packed()) {
      after = after.index_select(0, documents.last_of_row().to(after.device()));
    }
    (*state)[state_name] = after;
  }
  return y;
}

// Queries or keys, [batch, time, heads, d_k], from their projection.
Tensor Gdn::convolve_heads(const Tensor& x, const Tensor& weight, const Tensor& norm,
                           const char* state_name, const Documents& documents, State* state) const {
  const bool is_l2 = qk_norm_ == QkNorm::l2 || qk_norm_ == QkNorm::l2_clamp;
  const bool is_normed = is_l2 && use_conv_;
  const auto y = convolve(x, weight, state_name, documents, state, is_normed);
  return is_normed ? y.unflatten(2, {heads_, d_k_}) : normalize_heads(y, norm);
}

// [batch, time, heads * d_k] -> [batch, time, heads, d_k], normalised by head.
Tensor Gdn::normalize_heads(const Tensor& x, const Tensor& weight) const {
  const auto y = x.unflatten(2, {heads_, d_k_});
  switch (qk_norm_) {
    case QkNorm::none:
      return y;
    case QkNorm::l2_clamp:
      return ops::l2_norm(y, kL2Eps, /*clamp=*/true);
    case QkNorm::rms_l2:
      return ops::l2_norm(ops::rms_norm(y, weight, norm_eps_), kL2Eps);
    case QkNorm::l2:
      return ops::l2_norm(y, kL2Eps);
  }
  return y;
}

Tensor Gdn::log_decay(const Tensor& projected) const {
  const auto a = projected.to(compute_dtype());
  if (a_bias_.defined()) return at::log_sigmoid(a + a_bias_);
  return -a_log_.to(a.scalar_type()).exp() * at::softplus(a + dt_bias_);
}

Tensor Gdn::write_strength(const Tensor& projected) const {
  auto b = projected.to(compute_dtype());
  if (b_bias_.defined()) b = b + b_bias_;
  return negative_eigenvalues_ ? b.sigmoid() * 2 : b.sigmoid();
}

NamedTensors Gdn::project(const Tensor& x, MixerContext& context) {
  State* const state = context.state;
  check_input(x, state);
  const Documents documents(context.cu_seqlens, x.size(0), x.size(1));
  std::vector<Tensor> weights = {q_proj_, k_proj_, v_proj_, a_proj_, b_proj_};
  if (use_gate_) weights.push_back(g_proj_);
  const auto projected = ops::linears(x, weights);
  const auto q = convolve_heads(projected[0], q_conv_, q_norm_, "q_conv", documents, state);
  const auto k = convolve_heads(projected[1], k_conv_, k_norm_, "k_conv", documents, state);
  const auto v = convolve(projected[2], v_conv_, "v_conv", documents, state, /*is_normed=*/false);
  NamedTensors features = {{"q", q},
                           {"k", k},
                           {"v", v.unflatten(2, {value_heads_, d_v_})},
                           {"g", log_decay(projected[3])},
                           {"beta", write_strength(projected[4])}};
  if (use_gate_) features.push_back({"gate", projected[5].unflatten(2, {value_heads_, d_v_})});
  return features;
}

Recurrent::Scan Gdn::scan(const NamedTensors& features, const Memory& memory,
                          const Tensor& cu_seqlens) {
  auto [read, after] = ops::gated_delta_rule(
      feature(features, "q"), feature(features, "k"), feature(features, "v"),
      feature(features, "g"), feature(features, "beta"), scale_, memory.at(0),
      cu_seqlens.defined() ? std::optional<Tensor>(cu_seqlens) : std::nullopt, chunk_size_);
  return {read, {after}};
}

// scale S^T q for each of the n memories of a row.
Tensor Gdn::read(const NamedTensors& features, const Memory& memories) {
  const auto& states = memories.at(0);  // [rows, n, value_heads, d_k, d_v]
  const auto& q = feature(features, "q");
  const int64_t rows = q.size(0), time = q.size(1), n = states.size(1);
  const auto shared = value_heads_ / heads_;
  const auto queries =
      (q.to(states.scalar_type()) * scale_).transpose(1, 2).repeat_interleave(shared, 1);
  const auto wide = states.permute({0, 2, 3, 1, 4}).reshape({rows, value_heads_, d_k_, n * d_v_});
  return at::matmul(queries, wide)
      .view({rows, value_heads_, time, n, d_v_})
      .permute({0, 2, 3, 1, 4})
      .to(feature(features, "v").scalar_type());
}

Tensor Gdn::queries(const NamedTensors& features) {
  return feature(features, "q").flatten(2);
}

Tensor Gdn::keys(const NamedTensors& features) {
  return feature(features, "k").flatten(2);
}

Tensor Gdn::finish(const Tensor& read, const NamedTensors& features, MixerContext& context) {
  auto y = read;
  if (use_out_norm_) {
    const auto gate = optional_feature(features, "gate");
    y = ops::rms_norm(y, o_norm_, norm_eps_,
                      gate.defined() ? std::optional<Tensor>(gate) : std::nullopt);
  }
  y = ops::linears(y.flatten(2), {o_proj_})[0];
  return at::dropout(y, dropout_, context.training);
}

}  // namespace gamut::gdn
