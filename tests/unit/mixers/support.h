// Shared by the mixers' tests: layers from their plugins; fixtures, errors and gradients come from
// the operators' tests.
#pragma once

#include <c10/core/GradMode.h>
#include <gamut/module.h>

#include <memory>
#include <string>
#include <vector>

#include "../ops/support.h"
#include "ops/ops.h"
#include "plugin_host/registry.h"

namespace gamut::test {

using at::Tensor;

// A mixer from its built plugin.
inline std::unique_ptr<Mixer> make_mixer(const std::string& name, const OptionMap& options) {
  static auto* registry = [] {
    ops::link_operators();
    host::SearchPath path;
    path.entries = {GAMUT_BUILD_DIR "/lib/gamut/plugins"};
    return new host::Registry(path);
  }();
  return registry->create_mixer(name, options);
}

inline void convert(Mixer& mixer, at::ScalarType dtype) {
  for (const auto& p : mixer.parameters()) {
    auto tensor = p.tensor;
    tensor.set_data(tensor.detach().to(dtype));
  }
}

inline int64_t parameter_count(const Mixer& mixer) {
  int64_t count = 0;
  for (const auto& p : mixer.parameters()) count += p.tensor.numel();
  return count;
}

inline Tensor parameter(const Mixer& mixer, const std::string& name) {
  for (const auto& p : mixer.parameters()) {
    if (p.name == name) return p.tensor;
  }
  throw Error("no parameter `" + name + "`");
}

inline Tensor forward(Mixer& mixer, const Tensor& x, State* state = nullptr,
                      const Tensor& cu_seqlens = {}) {
  MixerContext context;
  context.state = state;
  context.cu_seqlens = cu_seqlens;
  return mixer.forward(x, context);
}

// A fixture of tests/data/mixers that holds a whole layer: weights `w.NAME`, x, y and gradients.
struct LayerCase {
  std::string fixture;
  OptionMap options;
};

// The layer in `dtype`, with the fixture's weights.
inline std::unique_ptr<Mixer> mixer_of(const std::string& plugin, const LayerCase& layer,
                                       const Fixture& fixture, at::ScalarType dtype) {
  auto mixer = make_mixer(plugin, layer.options);
  convert(*mixer, dtype);
  const c10::NoGradGuard no_grad;
  for (const auto& p : mixer->parameters()) {
    auto tensor = p.tensor;
    tensor.copy_(fixture["w." + p.name]);
  }
  return mixer;
}

// Output and every gradient within these bounds, relative to the largest entry.
inline void expect_layer(const std::string& plugin, const LayerCase& layer, at::ScalarType dtype,
                         double values, double gradients) {
  SCOPED_TRACE(layer.fixture);
  const Fixture f(layer.fixture, dtype);
  const auto mixer = mixer_of(plugin, layer, f, dtype);
  const auto x = f["x"].clone().set_requires_grad(true);
  const auto y = forward(*mixer, x);
  EXPECT_CLOSE(y, f["y"], values);
  y.backward(f["dy"]);
  EXPECT_CLOSE(x.grad(), f["dx"], gradients);
  for (const auto& p : mixer->parameters()) {
    EXPECT_LE(relative_error(p.tensor.grad(), f["dw." + p.name]), gradients) << p.name;
  }
}

// As the README of the fixtures has it.
inline void expect_layers(const std::string& plugin, const std::vector<LayerCase>& layers) {
  for (const auto& layer : layers) {
    expect_layer(plugin, layer, at::kDouble, 2e-7, 2e-7);
    expect_layer(plugin, layer, at::kFloat, 1e-5, 2e-5);
  }
}

}  // namespace gamut::test
