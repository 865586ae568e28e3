// The modules of descript-audio-codec 1.0.0 (Kumar et al. 2023, arXiv:2306.06546).
#include "network.h"

#include <ATen/ATen.h>

namespace gamut::dac {

using at::Tensor;

namespace {

class Builder {
 public:
  Builder(const Weights& weights, at::Device device) : weights_(weights), device_(device) {}

  void conv(const std::string& name, const std::string& snake, int64_t padding,
            int64_t stride = 1) {
    Step step;
    step.first = make_layer(weights_, name, snake, device_, stride);
    step.padding = padding;
    step.inputs = weights_.at(name + ".weight").size(1);
    network_.push_back(std::move(step));
  }
  void unit(const std::string& name, int64_t dilation) {
    Step step;
    step.kind = Step::Kind::unit;
    step.first = make_layer(weights_, name + ".conv1", name + ".snake1", device_, 1, dilation);
    step.second = make_layer(weights_, name + ".conv2", name + ".snake2", device_);
    step.padding = (step.first.reach() - 1) / 2;
    step.inputs = step.first.conv.outputs;
    network_.push_back(std::move(step));
  }
  void units(const std::string& block) {
    unit(block + "res_unit1", 1);
    unit(block + "res_unit2", 3);
    unit(block + "res_unit3", 9);
  }
  void up(const std::string& name, const std::string& snake, int64_t rate) {
    Step step;
    step.kind = Step::Kind::up;
    step.first = make_transposed(weights_, name, snake, device_, rate);
    step.padding = (rate + 1) / 2;
    step.inputs = weights_.at(name + ".weight").size(0);
    step.rate = rate;
    network_.push_back(std::move(step));
  }
  void tanh() { network_.back().first.tanh = true; }
  Network take() { return std::move(network_); }

 private:
  const Weights& weights_;
  at::Device device_;
  Network network_;
};

Tensor zeros_like_rows(const Tensor& x, int64_t rows) {
  return x.new_zeros({rows, x.size(1)});
}

// The state's tail and what comes after it.
Tensor joined(const Tensor& tail, const Tensor& x) {
  if (!tail.defined() || tail.size(0) == 0) return x;
  return x.size(0) == 0 ? tail : at::cat({tail, x});
}

}  // namespace

Network make_encoder(const Shape& shape, const Weights& weights, at::Device device) {
  Builder builder(weights, device);
  builder.conv("encoder.conv1", "", 3);
  for (size_t b = 0; b < shape.encoder_rates.size(); ++b) {
    const std::string block = c10::str("encoder.block.", b, ".");
    const int64_t rate = shape.encoder_rates[b];
    builder.units(block);
    builder.conv(block + "conv1", block + "snake1", (rate + 1) / 2, rate);
  }
  builder.conv("encoder.conv2", "encoder.snake1", 1);
  return builder.take();
}

Network make_decoder(const Shape& shape, const Weights& weights, at::Device device) {
  Builder builder(weights, device);
  builder.conv("decoder.conv1", "", 3);
  for (size_t b = 0; b < shape.decoder_rates.size(); ++b) {
    const std::string block = c10::str("decoder.block.", b, ".");
    builder.up(block + "conv_t1", block + "snake1", shape.decoder_rates[b]);
    builder.units(block);
  }
  builder.conv("decoder.conv2", "decoder.snake1", 3);
  builder.tanh();
  return builder.take();
}

Pass::Pass(const Network& network, bool padded)
    : network_(network), padded_(padded), states_(network.size()) {
  for (size_t i = 0; i < network.size(); ++i) {
    const Step& step = network[i];
    // A transposed convolution sees one input before the first: none, which is a zero.
    const int64_t rows = step.kind == Step::Kind::up ? 1 : padded ? step.padding : 0;
    states_[i].tail = at::zeros({rows, step.inputs}, step.first.conv.packed.options());
    states_[i].cut = padded ? step.padding : 0;
  }
}

Tensor Pass::convolve_step(const Step& step, State& state, const Tensor& x) const {
  const Tensor all = joined(state.tail, x);
  const int64_t steps = step.first.steps(all.size(0));
  // A copy: a view would keep the whole piece alive.
  state.tail = all.slice(0, steps * step.first.conv.stride).clone();
  if (steps == 0) return x.new_empty({0, step.first.conv.outputs});
  const Tensor seen = all.slice(0, 0, (steps - 1) * step.first.conv.stride + step.first.reach());
  if (step.kind == Step::Kind::conv) return convolve(step.first, seen);
  const int64_t centre = (step.first.reach() - 1) / 2;
  return convolve(step.second, convolve(step.first, seen), all.slice(0, centre, centre + steps));
}

Tensor Pass::upsample(const Step& step, State& state, const Tensor& x, bool last) const {
  const int64_t channels = step.first.conv.outputs / step.rate;
  const Tensor all = joined(state.tail, x);
  if (all.size(0) < 2) return x.new_empty({0, channels});
  state.tail = all.slice(0, -1).clone();
  Tensor y = convolve(step.first, all).view({-1, channels});
  const int64_t cut = std::min(state.cut, y.size(0));
  state.cut -= cut;
  const int64_t end = y.size(0) - (last && padded_ ? step.padding : 0);
  return y.slice(0, cut, std::max(cut, end));
}

Tensor Pass::push(const Tensor& x, bool last) {
  Tensor y = x;
  for (size_t i = 0; i < network_.size(); ++i) {
    const Step& step = network_[i];
    const bool up = step.kind == Step::Kind::up;
    const int64_t zeros = up ? 1 : padded_ ? step.padding : 0;
    if (last) y = joined(y, zeros_like_rows(y, zeros));
    y = up ? upsample(step, states_[i], y, last) : convolve_step(step, states_[i], y);
  }
  return y;
}

}  // namespace gamut::dac
