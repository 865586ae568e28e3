// Weights of a model of some shape: from a file, exact by name and shape, or random.
#pragma once

#include <gamut/state_loading.h>
#include <gamut/weights_file.h>

#include <string>
#include <vector>

#include "layers.h"
#include "plan.h"

namespace gamut::encodec {

// By path of plan.h: PATH.weight with the weight norm folded in, PATH.bias, PATH.norm.weight,
// PATH.norm.bias, those of an LSTM such as PATH.weight_ih_l0, and codebook.I [size, dimension].
// Contiguous float32 on the CPU.
class Weights {
 public:
  explicit Weights(state::ByName tensors) : tensors_(std::move(tensors)) {}
  ConvWeights conv(const std::string& path) const;
  std::vector<Lstm::Weights> lstm(const std::string& path, int64_t layers) const;
  at::Tensor codebook(int64_t index) const;
  // Replaces one of them.
  void set(const std::string& name, const at::Tensor& tensor) { tensors_[name] = tensor; }
  at::Tensor get(const std::string& name) const { return tensors_.at(name); }
  Weights to(const at::Device& device) const;

 private:
  state::ByName tensors_;
};

// Of a file in one of three layouts: the authors' names; transformers' with
// `parametrizations.weight.original0`; transformers' of 2023 with `weight_g`. Where names begin
// with `audio_encoder.`, as in MusicGen's files, only those are looked at. Throws gamut::Error
// with the first missing, unexpected and misshapen tensor of the nearest layout; `path` names the
// file in it.
Weights weights_of_file(const Shape& shape, const NamedTensors& given, const std::string& path);

// Drawn so that signals keep their size from layer to layer. Codebooks are still to be set.
Weights random_network(const Shape& shape, uint64_t seed);

}  // namespace gamut::encodec
