// What the encoder and the decoder of a shape consist of, layer by layer, as a list that loading,
// random weights and the networks themselves read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shape.h"

namespace gamut::encodec {

struct ConvPlan {
  std::string path;  // such as "encoder.3" or "decoder.4.block.1": layer indices of the packages
  int64_t inputs = 0, outputs = 0, kernel = 1, stride = 1, dilation = 1;
  bool elu = false;         // of the input
  bool transposed = false;  // its weight is [inputs, outputs, kernel]

  std::vector<int64_t> weight_shape() const {
    return transposed ? std::vector<int64_t>{inputs, outputs, kernel}
                      : std::vector<int64_t>{outputs, inputs, kernel};
  }
};

struct LayerPlan {
  enum Kind { conv, residual, lstm } kind = conv;
  // conv: one; residual: the two of its block, then that of its shortcut, if it has one.
  std::vector<ConvPlan> convs;
  std::string path;  // of an LSTM
};

using Plan = std::vector<LayerPlan>;

Plan encoder_plan(const Shape& shape);
Plan decoder_plan(const Shape& shape);

// All convolutions of both, and the paths of both LSTMs.
std::vector<ConvPlan> all_convs(const Shape& shape);
std::vector<std::string> all_lstms(const Shape& shape);

}  // namespace gamut::encodec
