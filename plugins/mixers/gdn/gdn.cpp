// The Gated DeltaNet layer; see README.md for the equations and the options of known models.
#include "gdn.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gamut/init.h>
#include <gamut/ops.h>

#include "norms.h"
#include "short_conv.h"

namespace gamut::gdn {

using at::Tensor;

namespace {

constexpr double kL2Eps = 1e-6;

int64_t head_count(const Options& options) {
  if (options.has("n_heads")) return options.integer("n_heads");
  return std::max<int64_t>(1, options.integer("d_model") / 64);
}

int64_t default_head_dim(int64_t d_model, int64_t heads) {
  return std::llround(0.75 * static_cast<double>(d_model) / static_cast<double>(heads));
}

bool is_power_of_two(int64_t n) {
  return n > 0 && (n & (n - 1)) == 0;
}

}  // namespace

Gdn::Gdn(const Options& options, Host& /*host*/)
    : d_model_(options.integer("d_model")),
      heads_(head_count(options)),
      value_heads_(options.has("n_v_heads") ? options.integer("n_v_heads") : heads_),
      d_k_(options.has("head_dim") ? options.integer("head_dim")
                                   : default_head_dim(d_model_, heads_)),
      d_v_(std::llround(static_cast<double>(d_k_) * options.number("expand_v"))),
      conv_size_(options.integer("conv_size")),
      chunk_size_(options.integer("chunk_size")),
      use_conv_(options.boolean("use_short_conv")),
      use_gate_(options.boolean("use_gate")),
      use_out_norm_(options.boolean("use_out_norm")),
      negative_eigenvalues_(options.boolean("allow_neg_eigval")),
      qk_norm_(options.string("qk_norm")),
      init_(options.string("init")),
      norm_eps_(options.number("norm_eps")),
      dropout_(options.number("dropout")),
      scale_(options.has("scale") ? options.number("scale")
                                  : 1 / std::sqrt(static_cast<double>(d_k_))),
      init_std_(options.number("init_std")) {
  GAMUT_CHECK(d_k_ >= 1 && d_k_ <= 256, "d_model = ", d_model_, " over n_heads = ", heads_,
              " gives heads of ", d_k_, " channels, not 1 to 256; give head_dim or other n_heads");
  GAMUT_CHECK(value_heads_ % heads_ == 0, "n_v_heads = ", value_heads_,
              " must be a multiple of n_heads = ", heads_);
  GAMUT_CHECK(
      std::abs(static_cast<double>(d_k_) * options.number("expand_v") - double(d_v_)) < 1e-6 &&
          d_v_ >= 1,
      "expand_v = ", options.number("expand_v"), " times head_dim = ", d_k_,
      " must be a whole number of value channels");
  GAMUT_CHECK(is_power_of_two(chunk_size_), "chunk_size = ", chunk_size_,
              " must be a power of two");
  GAMUT_CHECK(use_out_norm_ || !use_gate_,
              "use_gate needs use_out_norm: the gate multiplies the "
              "normalised output; set use_gate = false as well");
  make_projections(options);
  make_gates(options);
  make_norms();
}

Tensor Gdn::draw(at::IntArrayRef shape) const {
  return init::weight(init_, shape, init_std_);
}

// Draws follow the order of registration.
void Gdn::make_projections(const Options& options) {
  const int64_t keys = heads_ * d_k_, values = value_heads_ * d_v_;
  q_proj_ = register_parameter("q_proj.weight", draw({keys, d_model_}));
  k_proj_ = register_parameter("k_proj.weight", draw({keys, d_model_}));
  v_proj_ = register_parameter("v_proj.weight", draw({values, d_model_}));
  a_proj_ = register_parameter("a_proj.weight", draw({value_heads_, d_model_}));
  b_proj_ = register_parameter("b_proj.weight", draw({value_heads_, d_model_}));
  if (use_gate_) g_proj_ = register_parameter("g_proj.weight", draw({values, d_model_}));
  o_proj_ = register_parameter(
      "o_proj.weight", init::scaled(draw({d_model_, values}), options.number("out_init_scale")));
  if (!use_conv_) return;
  q_conv_ = register_parameter("q_conv1d.weight", draw({keys, 1, conv_size_}));
  k_conv_ = register_parameter("k_conv1d.weight", draw({keys, 1, conv_size_}));
  v_conv_ = register_parameter("v_conv1d.weight", draw({values, 1, conv_size_}));
}

void Gdn::make_gates(const Options& options) {
  const auto range = [&](const char* name) {
    const auto& r = options.numbers(name);
    GAMUT_CHECK(r.size() == 2 && r[0] >= 0 && r[0] <= r[1], name,
                " must be two numbers from 0 upwards, the smaller one first");
    return std::pair(r[0], r[1]);
  };
  if (options.string("decay") == "mamba") {
    const auto [a_min, a_max] = range("A_init_range");
    const auto [dt_min, dt_max] = range("dt_init_range");
    GAMUT_CHECK(dt_min > 0, "dt_init_range must begin above 0");
    a_log_ = register_parameter("A_log", init::uniform({value_heads_}, a_min, a_max).log_());
    auto dt = init::uniform({value_heads_}, 0, 1)
                  .mul_(std::log(dt_max) - std::log(dt_min))
                  .add_(std::log(dt_min))
                  .exp_()
                  .clamp_min_(options.number("dt_init_floor"));
    // The inverse of softplus.
    dt_bias_ = register_parameter("dt_bias", dt + dt.neg().expm1_().neg_().log_());
  } else {
    a_bias_ = register_parameter(
        "a_proj.bias", at::full({value_heads_}, options.number("a_bias_init"), at::kFloat));
  }
  if (options.boolean("b_bias")) {
    b_bias_ = register_parameter(
        "b_proj.bias", at::full({value_heads_}, options.number("b_bias_init"), at::kFloat));
  }
}

void Gdn::make_norms() {
  if (qk_norm_ == "rms_l2") {
    q_norm_ = register_parameter("q_norm.weight", at::ones({d_k_}));
    k_norm_ = register_parameter("k_norm.weight", at::ones({d_k_}));
  }
  if (use_out_norm_) o_norm_ = register_parameter("o_norm.weight", at::ones({d_v_}));
}

at::ScalarType Gdn::compute_dtype() const {
  return q_proj_.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

State Gdn::new_state(int64_t batch) const {
  const auto options = q_proj_.options().dtype(compute_dtype()).requires_grad(false);
  State state;
  if (use_conv_) {
    const int64_t keep = conv_size_ - 1;
    state.tensors.push_back({"q_conv", at::zeros({batch, keep, heads_ * d_k_}, options)});
    state.tensors.push_back({"k_conv", at::zeros({batch, keep, heads_ * d_k_}, options)});
    state.tensors.push_back({"v_conv", at::zeros({batch, keep, value_heads_ * d_v_}, options)});
  }
  state.tensors.push_back({"recurrent", at::zeros({batch, value_heads_, d_k_, d_v_}, options)});
  return state;
}

void Gdn::check_input(const Tensor& x) const {
  GAMUT_CHECK(x.dim() == 3 && x.size(2) == d_model_ && x.size(1) >= 1,
              "gdn expects x [batch, time >= 1, d_model = ", d_model_, "], not ", x.sizes());
  GAMUT_CHECK(x.scalar_type() == q_proj_.scalar_type() ||
                  at::autocast::is_autocast_enabled(x.device().type()),
              "gdn has ", q_proj_.scalar_type(), " parameters but got ", x.scalar_type(),
              " input; convert one of them or use autocast");
}

// silu(conv(x weight^T)), in the dtype of computation.
Tensor Gdn::project(const Tensor& x, const Tensor& weight, const Tensor& conv,
                    const char* state_name, const Documents& documents, State* state) const {
  auto y = at::linear(x, weight).to(compute_dtype());
  if (!use_conv_) return at::silu(y);
  Tensor before;
  if (state) {
    auto& kept = (*state)[state_name];
    before = kept;
    kept = next_conv_context(y, before, documents).detach();
  }
  return at::silu(short_conv(y, conv.to(compute_dtype()), before, documents));
}

// [batch, time, heads * d_k] -> [batch, time, heads, d_k], normalised by head.
Tensor Gdn::normalize(const Tensor& x, const Tensor& weight) const {
  auto y = x.unflatten(2, {heads_, d_k_});
  if (qk_norm_ == "none") return y;
  if (qk_norm_ == "rms_l2") y = gated_rms_norm(y, weight.to(y.scalar_type()), {}, norm_eps_);
  return l2_normalize(y, kL2Eps);
}

Tensor Gdn::log_decay(const Tensor& x) const {
  const auto a = at::linear(x, a_proj_).to(compute_dtype());
  if (a_bias_.defined()) return at::log_sigmoid(a + a_bias_);
  return -a_log_.to(a.scalar_type()).exp() * at::softplus(a + dt_bias_);
}

Tensor Gdn::write_strength(const Tensor& x) const {
  auto b = at::linear(x, b_proj_).to(compute_dtype());
  if (b_bias_.defined()) b = b + b_bias_;
  return negative_eigenvalues_ ? b.sigmoid() * 2 : b.sigmoid();
}

Tensor Gdn::mix(DeltaRuleInput in, const Documents& documents, State* state) const {
  if (state) {
    const auto& kept = (*state)["recurrent"];
    in.initial_state = kept;
    if (documents.packed()) {
      auto shape = kept.sizes().vec();
      shape[0] = documents.size();
      in.initial_state = at::zeros(shape, kept.options())
                             .index_copy(0, documents.first_of_row().to(kept.device()), kept);
    }
  }
  auto [y, final_state] =
      ops::gated_delta_rule(in.q, in.k, in.v, in.g, in.beta, scale_, in.initial_state,
                            documents.cu_seqlens(), chunk_size_);
  if (state) {
    auto& kept = (*state)["recurrent"];
    kept = final_state.detach();
    if (documents.packed()) kept = kept.index_select(0, documents.last_of_row().to(kept.device()));
  }
  return y;
}

Tensor Gdn::forward(const Tensor& x, MixerContext& context) {
  check_input(x);
  const Documents documents(context.cu_seqlens, x.size(0), x.size(1));
  State* const state = context.state;
  GAMUT_CHECK(!state || (*state)["recurrent"].size(0) == x.size(0), "the state is for ",
              state ? (*state)["recurrent"].size(0) : 0, " rows, the input has ", x.size(0));
  DeltaRuleInput in;
  in.q = normalize(project(x, q_proj_, q_conv_, "q_conv", documents, state), q_norm_);
  in.k = normalize(project(x, k_proj_, k_conv_, "k_conv", documents, state), k_norm_);
  in.v =
      project(x, v_proj_, v_conv_, "v_conv", documents, state).unflatten(2, {value_heads_, d_v_});
  in.g = log_decay(x);
  in.beta = write_strength(x);
  auto y = mix(in, documents, state);
  if (use_out_norm_) {
    const auto gate = use_gate_ ? at::linear(x, g_proj_).to(y.scalar_type()).view_as(y) : Tensor();
    y = gated_rms_norm(y, o_norm_.to(y.scalar_type()), gate, norm_eps_);
  }
  if (state) state->position += x.size(1);
  y = at::linear(y.flatten(2).to(o_proj_.scalar_type()), o_proj_);
  return at::dropout(y, dropout_, context.training);
}

}  // namespace gamut::gdn

GAMUT_MIXER(gamut::gdn::Gdn, "gdn", "1.0.0",
            "Gated DeltaNet: linear attention with a decaying, error-correcting matrix state")
