// Shared by the mixers' tests: layers from their plugins; fixtures, errors and gradients come from
// the operators' tests.
#pragma once

#include <gamut/module.h>

#include <memory>
#include <string>

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

}  // namespace gamut::test
