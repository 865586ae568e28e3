// An EnCodec model: networks and codebooks, constant once it is made. Signals run through it as
// passes, each with a state of its own, so that many may run at the same time.
#pragma once

#include <memory>
#include <vector>

#include "layers.h"
#include "plan.h"
#include "quantizer.h"
#include "weights.h"

namespace gamut::encodec {

// Layers one after the other.
class Network {
 public:
  Network(const Plan& plan, const Shape& shape, const Weights& weights, Form form);
  std::vector<std::unique_ptr<Layer::State>> new_states() const;
  // As Layer::run.
  at::Tensor run(const at::Tensor& x, std::vector<std::unique_ptr<Layer::State>>& states,
                 bool last) const;

 private:
  std::vector<std::unique_ptr<Layer>> layers_;
};

// One signal on its way through a network.
class Pass {
 public:
  explicit Pass(const Network& network) : network_(&network), states_(network.new_states()) {}
  at::Tensor run(const at::Tensor& x, bool last) { return network_->run(x, states_, last); }

 private:
  const Network* network_;
  std::vector<std::unique_ptr<Layer::State>> states_;
};

class Model {
 public:
  // The leading `codebooks` of the shape's are used.
  Model(const Shape& shape, int64_t codebooks, const Weights& weights, const at::Device& device,
        Form form);

  const Shape& shape() const { return shape_; }
  const Network& encoder() const { return encoder_; }
  const Network& decoder() const { return decoder_; }
  const Quantizer& quantizer() const { return quantizer_; }
  const at::Device& device() const { return device_; }

 private:
  Shape shape_;
  at::Device device_;
  Network encoder_, decoder_;
  Quantizer quantizer_;
};

// Random weights of full use: codebooks are drawn around what the encoder gives for noise, stage
// by stage, so that codes are diverse, and the decoder's output is scaled to an RMS of 0.1.
Weights random_weights(const Shape& shape, uint64_t seed);

}  // namespace gamut::encodec
