// One convolution of the model with the Snake before it, over channels-last activations.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/ops/conv1d.h>

#include <cstdint>
#include <string>

#include "weights.h"

namespace gamut::dac {

struct Layer {
  ops::Conv1d conv;
  at::Tensor alpha;  // [inputs] of the Snake; undefined: no activation
  int64_t taps = 1;
  bool tanh = false;

  // Inputs that one output sees.
  int64_t reach() const { return (taps - 1) * conv.dilation + 1; }
  // Outputs that so many inputs give.
  int64_t steps(int64_t inputs) const {
    return inputs < reach() ? 0 : (inputs - reach()) / conv.stride + 1;
  }
};

// The convolution `conv` of the weights behind the Snake `snake` ("": none), on `device`.
Layer make_layer(const Weights& weights, const std::string& conv, const std::string& snake,
                 at::Device device, int64_t stride = 1, int64_t dilation = 1);

// A transposed convolution of 2 stride taps as an ordinary one of two: of inputs t - 1 and t it
// makes the `stride` outputs that see no other input, as one row of stride * channels.
Layer make_transposed(const Weights& weights, const std::string& conv, const std::string& snake,
                      at::Device device, int64_t stride);

// x [steps, inputs], residual [layer.steps(steps), outputs] or undefined ->
// conv(snake(x)) + residual without any padding, [layer.steps(steps), outputs].
at::Tensor convolve(const Layer& layer, const at::Tensor& x, const at::Tensor& residual = {});

}  // namespace gamut::dac
