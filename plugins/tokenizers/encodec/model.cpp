#include "model.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <string>
#include <utility>

namespace gamut::encodec {
namespace {

std::unique_ptr<Conv> make_conv(const ConvPlan& plan, const Shape& shape, const Weights& weights,
                                Form form) {
  const ConvSizes sizes{plan.stride, plan.dilation, plan.elu, shape.causal};
  return std::make_unique<Conv>(weights.conv(plan.path), sizes, form);
}

std::unique_ptr<Layer> make_layer(const LayerPlan& plan, const Shape& shape, const Weights& weights,
                                  Form form) {
  if (plan.kind == LayerPlan::lstm) {
    return std::make_unique<Lstm>(weights.lstm(plan.path, shape.lstm_layers), form);
  }
  const auto conv = [&](size_t i) { return make_conv(plan.convs[i], shape, weights, form); };
  if (plan.kind == LayerPlan::residual) {
    return std::make_unique<Residual>(conv(0), conv(1), shape.conv_shortcut ? conv(2) : nullptr);
  }
  const ConvPlan& only = plan.convs.front();
  if (!only.transposed) return conv(0);
  const ConvSizes sizes{only.stride, only.dilation, only.elu, shape.causal};
  return std::make_unique<Upsample>(weights.conv(only.path), sizes, form);
}

std::vector<at::Tensor> leading_codebooks(const Weights& weights, int64_t count) {
  std::vector<at::Tensor> codebooks;
  for (int64_t i = 0; i < count; ++i) codebooks.push_back(weights.codebook(i));
  return codebooks;
}

// [time, channels], two seconds: noise that swells and fades.
at::Tensor noise(const Shape& shape, const at::Generator& generator) {
  const int64_t length = shape.segment > 0 ? shape.segment : 2 * shape.sample_rate;
  const at::Tensor swell = at::sin(at::arange(length, at::kFloat) * (37.7 / length)).abs();
  return at::randn({length, shape.channels}, generator) * swell.unsqueeze(1) * 0.3;
}

// Codebooks for these latents [steps, dimension]; returns the sum of the rows chosen.
at::Tensor draw_codebooks(const Shape& shape, const at::Tensor& latents,
                          const at::Generator& generator, Weights& weights) {
  at::Tensor left = latents;
  for (int64_t i = 0; i < shape.codebooks; ++i) {
    const at::Tensor spread = left.std(0, /*unbiased=*/false);
    // Rows a third as long as what they stand for: longer ones are seldom nearest.
    at::Tensor rows = at::randn({shape.codebook_size, shape.dimension}, generator) * spread * 0.3;
    if (i == 0) rows += left.mean(0);
    weights.set("codebook." + std::to_string(i), rows);
    const Quantizer stage({rows}, Form::plain);
    left = left - stage.decode(stage.encode(left));
  }
  return latents - left;
}

}  // namespace

Network::Network(const Plan& plan, const Shape& shape, const Weights& weights, Form form) {
  for (const auto& layer : plan) layers_.push_back(make_layer(layer, shape, weights, form));
}

std::vector<std::unique_ptr<Layer::State>> Network::new_states() const {
  std::vector<std::unique_ptr<Layer::State>> states;
  for (const auto& layer : layers_) states.push_back(layer->new_state());
  return states;
}

at::Tensor Network::run(const at::Tensor& x, std::vector<std::unique_ptr<Layer::State>>& states,
                        bool last) const {
  at::Tensor y = x;
  for (size_t i = 0; i < layers_.size(); ++i) y = layers_[i]->run(y, *states[i], last);
  return y;
}

Model::Model(const Shape& shape, int64_t codebooks, const Weights& weights,
             const at::Device& device, Form form)
    : shape_(shape),
      device_(device),
      encoder_(encoder_plan(shape), shape, weights.to(device), form),
      decoder_(decoder_plan(shape), shape, weights.to(device), form),
      quantizer_(leading_codebooks(weights.to(device), codebooks), form) {}

Weights random_weights(const Shape& shape, uint64_t seed) {
  const at::NoGradGuard no_grad;
  Weights weights = random_network(shape, seed);
  const at::Generator generator = at::detail::createCPUGenerator(seed + 1);
  const Network encoder(encoder_plan(shape), shape, weights, Form::plain);
  const at::Tensor latents = Pass(encoder).run(noise(shape, generator), /*last=*/true);
  const at::Tensor coded = draw_codebooks(shape, latents, generator, weights);
  const Network decoder(decoder_plan(shape), shape, weights, Form::plain);
  const double rms = Pass(decoder).run(coded, true).pow(2).mean().sqrt().item<double>();
  const std::string last = decoder_plan(shape).back().convs.front().path;
  // A norm undoes the scale of what comes before it; its own weight is the scale then.
  for (const char* part : {".weight", ".bias"}) {
    const std::string name = last + (shape.group_norm ? ".norm" : "") + part;
    weights.set(name, weights.get(name) * (0.1 / rms));
  }
  return weights;
}

}  // namespace gamut::encodec
