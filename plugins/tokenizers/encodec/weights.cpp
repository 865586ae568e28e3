#include "weights.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gamut/error.h>

#include <algorithm>
#include <cmath>

namespace gamut::encodec {
namespace {

enum class Layout { authors, transformers, transformers_2023 };
constexpr Layout kLayouts[] = {Layout::authors, Layout::transformers, Layout::transformers_2023};
const char* const kLstmParts[] = {"weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l"};

constexpr char kUntold[] =
    " since neither variant=NAME nor a config.json beside it tells its sizes,";

const char* name_of(Layout layout) {
  switch (layout) {
    case Layout::authors:
      return "the authors' names";
    case Layout::transformers:
      return "transformers' names";
    case Layout::transformers_2023:
      return "transformers' names of 2023";
  }
  return "";
}

// "encoder.4.block.1" -> "encoder.model.4.block.1" or "encoder.layers.4.block.1".
std::string module_name(Layout layout, const std::string& path) {
  const size_t dot = path.find('.');
  return path.substr(0, dot) + (layout == Layout::authors ? ".model" : ".layers") +
         path.substr(dot);
}

struct ConvNames {
  std::string weight, g, v, bias, norm;  // weight without weight norm, g and v with it
};

ConvNames conv_names(Layout layout, const ConvPlan& conv) {
  std::string module = module_name(layout, conv.path), outer = module, norm = module;
  if (layout == Layout::authors) {
    const std::string wrapper = conv.transposed ? ".convtr" : ".conv";
    norm += wrapper;
    outer += wrapper + wrapper;
  } else {
    outer += ".conv";
  }
  const bool parametrized = layout == Layout::transformers;
  return {outer + ".weight",
          outer + (parametrized ? ".parametrizations.weight.original0" : ".weight_g"),
          outer + (parametrized ? ".parametrizations.weight.original1" : ".weight_v"),
          outer + ".bias", norm + ".norm"};
}

std::string codebook_name(Layout layout, int64_t index) {
  const std::string at = std::to_string(index);
  return layout == Layout::authors ? "quantizer.vq.layers." + at + "._codebook."
                                   : "quantizer.layers." + at + ".codebook.";
}

std::string lstm_name(Layout layout, const std::string& path, const char* part, int64_t index) {
  return module_name(layout, path) + ".lstm." + part + std::to_string(index);
}

void expect_convs(const Shape& shape, Layout layout, std::vector<state::Expected>& all) {
  for (const auto& conv : all_convs(shape)) {
    const auto names = conv_names(layout, conv);
    const auto weight = conv.weight_shape();
    all.push_back({names.bias, {conv.outputs}});
    if (shape.group_norm) {
      all.push_back({names.weight, weight});
      all.push_back({names.norm + ".weight", {conv.outputs}});
      all.push_back({names.norm + ".bias", {conv.outputs}});
    } else {
      all.push_back({names.g, {weight[0], 1, 1}});
      all.push_back({names.v, weight});
    }
  }
}

std::vector<state::Expected> expected(const Shape& shape, Layout layout) {
  std::vector<state::Expected> all;
  expect_convs(shape, layout, all);
  const int64_t width = shape.widest();
  for (const auto& path : all_lstms(shape)) {
    for (int64_t i = 0; i < shape.lstm_layers; ++i) {
      for (const char* part : kLstmParts) {
        const bool bias = part[0] == 'b';
        all.push_back(
            {lstm_name(layout, path, part, i),
             bias ? std::vector<int64_t>{4 * width} : std::vector<int64_t>{4 * width, width}});
      }
    }
  }
  for (int64_t i = 0; i < shape.codebooks; ++i) {
    const std::string name = codebook_name(layout, i);
    const std::vector<int64_t> rows{shape.codebook_size, shape.dimension};
    all.push_back({name + "inited", {1}});
    all.push_back({name + "cluster_size", {shape.codebook_size}});
    all.push_back({name + "embed", rows});
    all.push_back({name + "embed_avg", rows});
  }
  return all;
}

// g v / |v|, the norm over all axes but the first (Salimans and Kingma 2016, equation 2).
at::Tensor fold(const at::Tensor& g, const at::Tensor& v) {
  return v * (g / v.flatten(1).norm(2, 1).view({-1, 1, 1}));
}

// A copy: the file's tensors are views of it, and a file may be written over while the model lives.
at::Tensor plain_float(const at::Tensor& tensor) {
  return tensor.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
}

Weights collect(const Shape& shape, Layout layout, const state::ByName& found) {
  state::ByName tensors;
  const auto take = [&](const std::string& name) { return plain_float(found.at(name)); };
  for (const auto& conv : all_convs(shape)) {
    const auto names = conv_names(layout, conv);
    tensors[conv.path + ".weight"] =
        shape.group_norm ? take(names.weight) : fold(take(names.g), take(names.v));
    tensors[conv.path + ".bias"] = take(names.bias);
    if (!shape.group_norm) continue;
    tensors[conv.path + ".norm.weight"] = take(names.norm + ".weight");
    tensors[conv.path + ".norm.bias"] = take(names.norm + ".bias");
  }
  for (const auto& path : all_lstms(shape)) {
    for (int64_t i = 0; i < shape.lstm_layers; ++i) {
      for (const char* part : kLstmParts) {
        tensors[path + "." + part + std::to_string(i)] = take(lstm_name(layout, path, part, i));
      }
    }
  }
  for (int64_t i = 0; i < shape.codebooks; ++i) {
    tensors["codebook." + std::to_string(i)] = take(codebook_name(layout, i) + "embed");
  }
  return Weights(std::move(tensors));
}

// What belongs to the EnCodec in a file of a larger model.
NamedTensors own_part(const NamedTensors& given) {
  const std::string prefix = "audio_encoder.";
  NamedTensors own;
  for (const auto& entry : given) {
    if (entry.name.compare(0, prefix.size(), prefix) == 0) {
      own.push_back({entry.name.substr(prefix.size()), entry.tensor});
    }
  }
  return own.empty() ? given : own;
}

}  // namespace

ConvWeights Weights::conv(const std::string& path) const {
  const auto optional = [&](const std::string& name) {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? at::Tensor() : found->second;
  };
  return {get(path + ".weight"), get(path + ".bias"), optional(path + ".norm.weight"),
          optional(path + ".norm.bias")};
}

std::vector<Lstm::Weights> Weights::lstm(const std::string& path, int64_t layers) const {
  std::vector<Lstm::Weights> all;
  for (int64_t i = 0; i < layers; ++i) {
    const auto part = [&](int which) {
      return get(path + "." + kLstmParts[which] + std::to_string(i));
    };
    all.push_back({part(0), part(1), part(2), part(3)});
  }
  return all;
}

at::Tensor Weights::codebook(int64_t index) const {
  return get("codebook." + std::to_string(index));
}

Weights Weights::to(const at::Device& device) const {
  state::ByName moved;
  for (const auto& [name, tensor] : tensors_) moved[name] = tensor.to(device);
  return Weights(std::move(moved));
}

Weights weights_of_file(const Shape& shape, const NamedTensors& given, const std::string& path) {
  const NamedTensors own = own_part(given);
  Layout nearest = Layout::authors;
  int64_t most = -1;
  for (Layout layout : kLayouts) {
    const int64_t known = state::known_names(expected(shape, layout), own);
    if (known > most) nearest = layout;
    most = std::max(most, known);
  }
  const std::string what = c10::str(path, ", read as EnCodec's weights by ", name_of(nearest), " (",
                                    shape.text(), "),", shape.told ? "" : kUntold);
  return collect(shape, nearest, state::load_exactly(what, expected(shape, nearest), own));
}

Weights random_network(const Shape& shape, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  state::ByName tensors;
  for (const auto& conv : all_convs(shape)) {
    const auto sizes = conv.weight_shape();
    const auto sums =
        static_cast<double>(conv.transposed ? 2 * conv.inputs : conv.inputs * conv.kernel);
    tensors[conv.path + ".weight"] =
        at::randn(sizes, generator) * ((conv.path == "encoder.0" ? 3 : 1.2) / std::sqrt(sums));
    tensors[conv.path + ".bias"] = at::randn({conv.outputs}, generator) * 0.1;
    if (!shape.group_norm) continue;
    tensors[conv.path + ".norm.weight"] = at::ones({conv.outputs});
    tensors[conv.path + ".norm.bias"] = at::zeros({conv.outputs});
  }
  const int64_t width = shape.widest();
  const double bound = 1.2 / std::sqrt(static_cast<double>(width));
  for (const auto& path : all_lstms(shape)) {
    for (int64_t i = 0; i < shape.lstm_layers; ++i) {
      for (const char* part : kLstmParts) {
        const auto sizes = part[0] == 'b' ? std::vector<int64_t>{4 * width}
                                          : std::vector<int64_t>{4 * width, width};
        tensors[path + "." + part + std::to_string(i)] =
            (at::rand(sizes, generator) * 2 - 1) * bound;
      }
    }
  }
  return Weights(std::move(tensors));
}

}  // namespace gamut::encodec
