// Around the recurrence: projections, convolution, states, and the forward of both versions.
#include "layer.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gamut/init.h>
#include <gamut/ops.h>

namespace gamut::mamba {

using at::Tensor;

namespace {

int64_t inner_width(const Options& options) {
  const double expand = options.number("expand");
  const double width = expand * static_cast<double>(options.integer("d_model"));
  GAMUT_CHECK(std::abs(width - std::round(width)) < 1e-6 && width >= 1, "expand = ", expand,
              " times d_model = ", options.integer("d_model"),
              " must be a whole number of channels");
  return std::llround(width);
}

// A state [batch, ...] by document: its own for the first of a row, zeros for the others.
Tensor by_document(const Tensor& state, const Documents& documents) {
  if (!documents.packed()) return state;
  auto shape = state.sizes().vec();
  shape[0] = documents.size();
  return at::zeros(shape, state.options())
      .index_copy_(0, documents.first_of_row().to(state.device()), state);
}

// What a row holds afterwards: the state of its last document. No graph.
Tensor of_rows(const Tensor& states, const Documents& documents) {
  const auto kept = states.detach();
  return documents.packed() ? kept.index_select(0, documents.last_of_row().to(kept.device()))
                            : kept;
}

}  // namespace

Layer::Layer(const Options& options, int64_t default_d_state)
    : d_model_(options.integer("d_model")),
      d_inner_(inner_width(options)),
      d_state_(options.has("d_state") ? options.integer("d_state") : default_d_state),
      conv_size_(options.integer("conv_size")),
      conv_bias_(options.boolean("conv_bias")),
      bias_(options.boolean("bias")),
      out_init_scale_(options.number("out_init_scale")),
      dropout_(options.number("dropout")) {}

Layer::Linear Layer::make_linear(const std::string& name, int64_t in, int64_t out, bool bias,
                                 double scale) {
  Linear linear;
  const auto weight = init::scaled(init::kaiming_uniform({out, in}), scale);
  linear.weight = register_parameter(name + ".weight", weight);
  if (!bias) return linear;
  const double bound = 1 / std::sqrt(static_cast<double>(in));
  linear.bias = register_parameter(name + ".bias", init::uniform({out}, -bound, bound));
  return linear;
}

Tensor Layer::Linear::operator()(const Tensor& x) const {
  return at::linear(x.to(weight.scalar_type()), weight, if_defined(bias));
}

void Layer::make_convolution(int64_t channels) {
  const double bound = 1 / std::sqrt(static_cast<double>(conv_size_));
  conv_weight_ =
      register_parameter("conv1d.weight", init::kaiming_uniform({channels, 1, conv_size_}));
  if (!conv_bias_) return;
  conv_bias_weight_ = register_parameter("conv1d.bias", init::uniform({channels}, -bound, bound));
}

Tensor Layer::initial_dt_bias(const Options& options, int64_t size) {
  const double low = options.number("dt_min"), high = options.number("dt_max");
  GAMUT_CHECK(low <= high, "dt_min = ", low, " must not be above dt_max = ", high);
  const auto dt = init::uniform({size}, 0, 1)
                      .mul_(std::log(high) - std::log(low))
                      .add_(std::log(low))
                      .exp_()
                      .clamp_min_(options.number("dt_init_floor"));
  return dt + dt.neg().expm1_().neg_().log_();  // the inverse of softplus
}

at::ScalarType Layer::compute_dtype() const {
  return in_proj_.weight.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

Tensor Layer::rates() const {
  return -in_compute_dtype(A_log_).exp();
}

State Layer::new_state(int64_t batch) const {
  const auto options = in_proj_.weight.options().dtype(compute_dtype()).requires_grad(false);
  State state;
  state.tensors.push_back(
      {"conv", at::zeros({batch, conv_size_ - 1, conv_weight_.size(0)}, options)});
  state.tensors.push_back({"ssm", at::zeros(state_shape(batch), options)});
  return state;
}

void* Layer::query(std::string_view id) {
  return id == kRecurrent ? static_cast<Recurrent*>(this) : nullptr;
}

void Layer::check_input(const Tensor& x) const {
  const auto parameters = in_proj_.weight.scalar_type();
  GAMUT_CHECK(x.dim() == 3 && x.size(2) == d_model_ && x.size(1) >= 1,
              "mamba expects x [batch, time >= 1, d_model = ", d_model_, "], not ", x.sizes());
  GAMUT_CHECK(x.scalar_type() == parameters || at::autocast::is_autocast_enabled(x.device().type()),
              "mamba has ", parameters, " parameters but got ", x.scalar_type(),
              " input; convert one of them or use autocast");
}

Tensor Layer::convolve(const Tensor& x, const Documents& documents, State* state) const {
  std::optional<Tensor> before;
  if (state) before = by_document((*state)["conv"], documents);
  const auto [y, after] = ops::causal_conv1d(x, conv_weight_, if_defined(conv_bias_weight_), before,
                                             if_defined(documents.cu_seqlens()), "silu");
  if (state) (*state)["conv"] = of_rows(after, documents);
  return y;
}

Tensor Layer::project_out(const Tensor& y, const MixerContext& context) const {
  return at::dropout(out_proj_(y), dropout_, context.training);
}

Tensor Layer::forward(const Tensor& x, MixerContext& context) {
  check_input(x);
  State* const state = context.state;
  GAMUT_CHECK(!state || (*state)["ssm"].size(0) == x.size(0), "the state is for ",
              state ? (*state)["ssm"].size(0) : 0, " rows, the input has ", x.size(0));
  const Documents documents(context.cu_seqlens, x.size(0), x.size(1));
  const auto features = project(x, context);
  std::optional<Tensor> before;
  if (state) before = by_document((*state)["ssm"], documents);
  const auto mixed = mix(features, before, documents.cu_seqlens());
  if (state) {
    (*state)["ssm"] = of_rows(mixed.state, documents);
    state->position += x.size(1);
  }
  return project_out(mixed.y, context);
}

}  // namespace gamut::mamba
