// EnCodec as a plugin, its small models in tests/data/codecs, and their values by the reference
// packages.
#pragma once

#include <ATen/ATen.h>
#include <gamut/code_files.h>
#include <gamut/codec.h>
#include <gamut/identity.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "checkpoint/safetensors.h"
#include "plugin_host/registry.h"

namespace gamut::encodec_test {

inline std::string data_file(const std::string& name) {
  return std::string(GAMUT_SOURCE_DIR) + "/tests/data/codecs/" + name;
}

inline std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

// Tensors of a file by name.
class Values {
 public:
  explicit Values(const std::string& name)
      : tensors_(checkpoint::read_safetensors(data_file(name))) {}
  at::Tensor operator[](const std::string& name) const {
    for (const auto& entry : tensors_) {
      if (entry.name == name) return entry.tensor;
    }
    throw Error("no tensor " + name);
  }
  const NamedTensors& all() const { return tensors_; }

 private:
  NamedTensors tensors_;
};

inline host::Registry& registry() {
  static auto* made = [] {
    host::SearchPath path;
    path.entries = {GAMUT_BUILD_DIR "/lib/gamut/plugins"};
    return new host::Registry(path);
  }();
  return *made;
}

inline std::unique_ptr<Tokenizer> make(OptionMap options) {
  return registry().create_tokenizer("encodec", options);
}

// One of the small models: "encodec_tiny_hf", "encodec_48khz", "encodec_32khz".
inline std::unique_ptr<Tokenizer> make_small(const std::string& name, OptionMap options = {}) {
  options["weights"] = data_file(name + ".safetensors");
  if (name == "encodec_48khz") {
    options["variant"] = std::string("48khz");
    options["n_filters"] = int64_t{2};
    options["dimension"] = int64_t{8};
    options["n_codebooks"] = int64_t{2};
  }
  return make(options);
}

template <class Capability>
Capability& ask(Tokenizer& tokenizer) {
  auto* found = static_cast<Capability*>(tokenizer.query(Capability::kId));
  GAMUT_CHECK(found, "no capability ", Capability::kId);
  return *found;
}

inline at::Tensor samples_of(const RawData& data) {
  return std::get<Audio>(data).samples;
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  return a.numel() == 0 ? 0 : (a - b).abs().max().item<double>();
}

// int16 samples as they are in a WAV file.
inline at::Tensor from_pcm(const at::Tensor& pcm) {
  return pcm.to(at::kFloat) / 32768;
}

}  // namespace gamut::encodec_test
