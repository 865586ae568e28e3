// Encoder and decoder as chains of steps that take a signal piece by piece.
//
// Every step keeps the last inputs that later outputs will see, so that the outputs over all pieces
// are those of one pass over the whole signal, each computed once and from the same numbers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "layer.h"
#include "shape.h"

namespace gamut::dac {

struct Step {
  enum class Kind {
    conv,  // y = conv(snake(x))
    unit,  // y = x + second(snake(first(snake(x))))
    up,    // transposed convolution
  };
  Kind kind = Kind::conv;
  Layer first;
  Layer second;         // of a unit
  int64_t padding = 0;  // steps of zeros at either end; for `up`, outputs that are cut there
  int64_t inputs = 0;   // channels
  int64_t rate = 1;     // of `up`: outputs an input
};
using Network = std::vector<Step>;

// [samples, 1] -> [frames, latent_dim].
Network make_encoder(const Shape& shape, const Weights& weights, at::Device device);
// [frames, latent_dim] -> [samples, 1].
Network make_decoder(const Shape& shape, const Weights& weights, at::Device device);

// One signal on its way through a network, which must outlive it.
class Pass {
 public:
  // `padded`: zeros stand before and after the signal at every step, as the models are trained;
  // otherwise only outputs that see nothing but the signal are made.
  explicit Pass(const Network& network, bool padded = true);

  // x [steps >= 0, channels], the next piece; `last`: the signal ends with it. Returns the outputs
  // that have become complete.
  at::Tensor push(const at::Tensor& x, bool last);

 private:
  struct State {
    at::Tensor tail;  // inputs that outputs still to come will see
    int64_t cut = 0;  // outputs of `up` still to be dropped
  };
  at::Tensor convolve_step(const Step& step, State& state, const at::Tensor& x) const;
  at::Tensor upsample(const Step& step, State& state, const at::Tensor& x, bool last) const;

  const Network& network_;
  bool padded_;
  std::vector<State> states_;
};

}  // namespace gamut::dac
