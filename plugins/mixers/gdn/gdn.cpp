// The Gated DeltaNet layer: its parameters and state; see README.md for the equations and the
// presets.
#include "gdn.h"

#include <ATen/ATen.h>
#include <gamut/init.h>

#include "layouts.h"
#include "presets.h"

namespace gamut::gdn {

using at::Tensor;

namespace {

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

QkNorm qk_norm_of(const std::string& name) {
  if (name == "l2") return QkNorm::l2;
  if (name == "l2_clamp") return QkNorm::l2_clamp;
  return name == "rms_l2" ? QkNorm::rms_l2 : QkNorm::none;
}

}  // namespace

Gdn::Gdn(const Options& given, Host& /*host*/) : Gdn(with_preset(given)) {}

Gdn::Gdn(const Options& options)
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
      use_silu_(options.string("activation") == "silu"),
      negative_eigenvalues_(options.boolean("allow_neg_eigval")),
      qk_norm_(qk_norm_of(options.string("qk_norm"))),
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
  GAMUT_CHECK(chunk_size_ == 0 || (chunk_size_ >= 16 && is_power_of_two(chunk_size_)),
              "chunk_size = ", chunk_size_, " must be a power of two from 16, or 0 (chosen)");
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
  const double gates = options.number("gate_init_scale");
  q_proj_ = register_parameter("q_proj.weight", draw({keys, d_model_}));
  k_proj_ = register_parameter("k_proj.weight", draw({keys, d_model_}));
  v_proj_ = register_parameter("v_proj.weight", draw({values, d_model_}));
  a_proj_ =
      register_parameter("a_proj.weight", init::scaled(draw({value_heads_, d_model_}), gates));
  b_proj_ =
      register_parameter("b_proj.weight", init::scaled(draw({value_heads_, d_model_}), gates));
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
  if (qk_norm_ == QkNorm::rms_l2) {
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

std::optional<NamedTensors> Gdn::import_weights(const NamedTensors& given) const {
  return weights::import_by_layout(*this, foreign_layouts({heads_, value_heads_, d_k_, d_v_}),
                                   given);
}

void* Gdn::query(std::string_view id) {
  if (id == WeightImport::kId) return static_cast<WeightImport*>(this);
  return RecurrentMixer::query(id);
}

}  // namespace gamut::gdn

GAMUT_MIXER(gamut::gdn::Gdn, "gdn", "1.1.0",
            "Gated DeltaNet: linear attention with a decaying, error-correcting matrix state")
