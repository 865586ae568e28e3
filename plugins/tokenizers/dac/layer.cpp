#include "layer.h"

#include <ATen/ATen.h>

namespace gamut::dac {

using at::Tensor;

namespace {

// Weights may be views of a mapped file, which may be written over; what a layer keeps is its own.
Tensor own(const Tensor& tensor, at::Device device) {
  return tensor.to(device, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
}

Layer behind(const Weights& weights, const std::string& snake, at::Device device) {
  Layer layer;
  if (!snake.empty()) layer.alpha = own(weights.at(snake + ".alpha").reshape({-1}), device);
  return layer;
}

}  // namespace

Layer make_layer(const Weights& weights, const std::string& conv, const std::string& snake,
                 at::Device device, int64_t stride, int64_t dilation) {
  Layer layer = behind(weights, snake, device);
  const Tensor& weight = weights.at(conv + ".weight");
  layer.conv = ops::pack_conv1d(weight.to(device), own(weights.at(conv + ".bias"), device), stride,
                                dilation);
  layer.taps = weight.size(2);
  return layer;
}

Layer make_transposed(const Weights& weights, const std::string& conv, const std::string& snake,
                      at::Device device, int64_t stride) {
  Layer layer = behind(weights, snake, device);
  layer.conv = ops::pack_conv_transpose1d(weights.at(conv + ".weight").to(device),
                                          own(weights.at(conv + ".bias"), device), stride);
  layer.taps = 2;
  return layer;
}

Tensor convolve(const Layer& layer, const Tensor& x, const Tensor& residual) {
  ops::Conv1dCall call;
  if (layer.alpha.defined()) {
    call.activation = "snake";
    call.alpha = layer.alpha;
  }
  if (residual.defined()) call.residual = residual.unsqueeze(0);
  call.tanh = layer.tanh;
  return ops::conv1d(x.unsqueeze(0), layer.conv, call).squeeze(0);
}

}  // namespace gamut::dac
