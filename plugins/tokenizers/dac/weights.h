// The tensors of a DAC model under one set of names, whatever layout the file has.
#pragma once

#include <gamut/state_loading.h>

#include <cstdint>
#include <string>

#include "shape.h"

namespace gamut::dac {

// By transformers' names, float32 on the CPU, weight norm folded: NAME.weight and NAME.bias of a
// convolution, NAME.alpha of a Snake, NAME.codebook.weight.
using Weights = state::ByName;

// `given` is what the file at `path` holds. Names are the original package's (also with a prefix
// `state_dict.`) or transformers'; a convolution has `weight_g` and `weight_v`, or
// `parametrizations.weight.original0` and `original1`, or a folded `weight`. Throws one
// gamut::Error that lists what is missing, unexpected and misshapen.
Weights load_weights(const Shape& shape, const NamedTensors& given, const std::string& path);

// Weights for trying out, the same for a seed on every machine: each convolution keeps about the
// loudness of what it is given, so that codes differ from frame to frame.
Weights random_weights(const Shape& shape, int64_t seed);

// Every name and shape of a layout, for tests and documentation: "original", "original,
// parametrizations", "transformers" and so on.
std::vector<state::Expected> expected_tensors(const Shape& shape, const std::string& layout);
std::vector<std::string> layout_names();

}  // namespace gamut::dac
