// Shared by the optimizers' tests: the plugins as they are loaded, goldens from PyTorch.
#pragma once

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "checkpoint/safetensors.h"
#include "ops/ops.h"
#include "plugin_host/registry.h"

namespace gamut::test {

inline std::unique_ptr<Optimizer> make(const std::string& name,
                                       const std::vector<host::GroupRequest>& groups,
                                       const OptionMap& options) {
  static auto* registry = [] {
    ops::link_operators();
    host::SearchPath path;
    path.entries = {GAMUT_BUILD_DIR "/lib/gamut/plugins"};
    return new host::Registry(path);
  }();
  return registry->create_optimizer(name, groups, options);
}

inline NamedTensors parameters(const std::vector<std::vector<int64_t>>& shapes) {
  NamedTensors made;
  for (const auto& shape : shapes) {
    made.push_back({c10::str("p", made.size()), at::randn(shape).set_requires_grad(true)});
  }
  return made;
}

inline void set_gradients(const NamedTensors& parameters, uint64_t seed) {
  at::manual_seed(seed);
  for (auto p : parameters) p.tensor.mutable_grad() = at::randn_like(p.tensor);
}

inline NamedTensors clone(const NamedTensors& tensors) {
  NamedTensors copies;
  for (const auto& t : tensors) {
    auto copy = t.tensor.detach().clone();
    copies.push_back({t.name, t.tensor.requires_grad() ? copy.set_requires_grad(true) : copy});
  }
  return copies;
}

inline void expect_equal(const NamedTensors& a, const NamedTensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].name, b[i].name);
    EXPECT_TRUE(at::equal(a[i].tensor, b[i].tensor)) << a[i].name;
  }
}

template <class Function>
std::string sentence_of(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing thrown";
}

}  // namespace gamut::test
