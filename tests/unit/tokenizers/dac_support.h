// Shared by the tests of DAC: the small model of the fixtures, and what the Python packages gave
// for it (tests/data/codecs).
#pragma once

#include <ATen/ATen.h>
#include <gamut/code_files.h>
#include <gamut/codec.h>
#include <gamut/identity.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>

#include "checkpoint/safetensors.h"
#include "checkpoint/weights_op.h"
#include "ops/ops.h"
#include "plugin_host/registry.h"

namespace gamut::test {

using at::Tensor;

inline std::string codec_data(const std::string& name) {
  return GAMUT_SOURCE_DIR "/tests/data/codecs/" + name;
}

inline std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::unique_ptr<Tokenizer> make_dac(const OptionMap& options) {
  static auto* registry = [] {
    ops::link_operators();
    checkpoint::link_operators();
    host::SearchPath path;
    path.entries = {GAMUT_BUILD_DIR "/lib/gamut/plugins"};
    return new host::Registry(path);
  }();
  return registry->create_tokenizer("dac", options);
}

// The model of the fixtures in one of its two layouts.
inline std::unique_ptr<Tokenizer> tiny_dac(const std::string& layout = "orig",
                                           OptionMap options = {}) {
  options["weights"] = codec_data("dac_tiny_" + layout + ".safetensors");
  return make_dac(options);
}

inline const Tensor& dac_fixture(const std::string& name) {
  static const auto* tensors = [] {
    auto* all = new std::map<std::string, Tensor>;
    for (const auto& t : checkpoint::read_safetensors(codec_data("dac_tiny_io.safetensors"))) {
      (*all)[t.name] = t.tensor;
    }
    return all;
  }();
  return tensors->at(name);
}

inline Audio mono(const Tensor& samples, int64_t rate = 44100) {
  return {samples.reshape({1, -1}), rate};
}

inline Tensor samples_of(const RawData& data) {
  return std::get<Audio>(data).samples;
}

inline double largest_difference(const Tensor& a, const Tensor& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  return a.numel() == 0 ? 0 : (a - b).abs().max().item<double>();
}

template <class Capability>
Capability& capability(Tokenizer& tokenizer) {
  auto* found = static_cast<Capability*>(tokenizer.query(Capability::kId));
  GAMUT_CHECK(found, "no capability ", Capability::kId);
  return *found;
}

}  // namespace gamut::test
