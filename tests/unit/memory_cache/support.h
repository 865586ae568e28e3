// Shared by the tests of memory_cache: mixers from plugins and from Lua, inputs, comparisons.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <gamut/recurrent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "plugin_host/registry.h"
#include "script/interpreter.h"

namespace gamut::test {

using at::Tensor;

constexpr int64_t kWidth = 12;

// A mixer that memory_cache wraps, with the options of a small one.
struct Inner {
  const char* label;
  const char* name;
  OptionMap options;
};

// GoogleTest would print the bytes, which differ in every run, into the names of tests.
inline void PrintTo(const Inner& inner, std::ostream* out) {
  *out << inner.label;
}

inline std::vector<Inner> inners() {
  const auto integer = [](int64_t value) { return OptionValue(value); };
  return {
      {"linear_attention", "linear_attention", {{"n_heads", integer(2)}}},
      {"gdn",
       "gdn",
       {{"n_heads", integer(2)}, {"n_v_heads", integer(4)}, {"head_dim", integer(3)}}},
      {"mamba1", "mamba", {{"version", integer(1)}, {"d_state", integer(5)}}},
      {"mamba2",
       "mamba",
       {{"version", integer(2)}, {"d_state", integer(6)}, {"head_dim", integer(4)}}},
  };
}

// The program's registry with the built plugins and the Lua mixers of the library.
inline host::Registry& registry() {
  static auto* interpreter = [] {
    at::set_num_threads(1);  // the tensors are tiny
    host::SearchPath path;
    path.entries = {GAMUT_BUILD_DIR "/lib/gamut/plugins"};
    host::configure(path);
    script::Interpreter::Options options;
    options.scripts = GAMUT_SOURCE_DIR "/scripts";
    auto* made = new script::Interpreter(options);
    script::ScriptError error;
    const std::string library = GAMUT_SOURCE_DIR "/scripts/gamut/nn/mixers/linear_attention.lua";
    GAMUT_CHECK(made->run_file(library, {}, error), error.message);
    return made;
  }();
  (void)interpreter;
  return host::registry();
}

inline OptionValue text(const char* value) {
  return OptionValue(std::string(value));
}

inline OptionMap wrapping(const Inner& inner, OptionMap options) {
  options["d_model"] = OptionValue(kWidth);
  options["mixer"] = text(inner.name);
  options["mixer_options"] = OptionValue(std::make_shared<const OptionMap>(inner.options));
  return options;
}

inline void convert(Mixer& mixer, at::ScalarType dtype) {
  for (const auto& p : mixer.parameters()) {
    auto tensor = p.tensor;
    tensor.set_data(tensor.detach().to(dtype));
  }
}

// In float64, with parameters large enough that gates are far from even.
inline std::unique_ptr<Mixer> make(const std::string& name, OptionMap options) {
  options["d_model"] = OptionValue(kWidth);
  at::manual_seed(7);
  auto mixer = registry().create_mixer(name, options);
  const c10::NoGradGuard no_grad;
  for (const auto& p : mixer->parameters()) {
    auto tensor = p.tensor;
    tensor.add_(at::randn(tensor.sizes()).mul_(0.3));
  }
  convert(*mixer, at::kDouble);
  return mixer;
}

inline Tensor parameter(const Mixer& mixer, const std::string& name) {
  for (const auto& p : mixer.parameters()) {
    if (p.name == name) return p.tensor;
  }
  throw Error("no parameter `" + name + "`");
}

// Gives `bare` the parameters of those names in `mixer`.
inline void copy_parameters(const Mixer& mixer, Mixer& bare) {
  const c10::NoGradGuard no_grad;
  for (const auto& p : bare.parameters()) {
    auto tensor = p.tensor;
    tensor.copy_(parameter(mixer, p.name));
  }
}

inline Tensor input(int64_t batch, int64_t time) {
  return at::randn({batch, time, kWidth}, at::kDouble);
}

inline Tensor forward(Mixer& mixer, const Tensor& x, State* state = nullptr,
                      const Tensor& cu_seqlens = {}) {
  MixerContext context;
  context.state = state;
  context.cu_seqlens = cu_seqlens;
  return mixer.forward(x, context);
}

inline double relative_error(const Tensor& got, const Tensor& expected) {
  if (got.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  return ((got - expected).abs().max() / expected.abs().max().clamp_min(1e-30)).item<double>();
}

// The gradient of a scalar; the graph stays for further calls.
inline Tensor gradient_of(const Tensor& y, Tensor x) {
  x.mutable_grad().reset();
  y.backward({}, /*retain_graph=*/true);
  return x.grad().clone();
}

}  // namespace gamut::test
