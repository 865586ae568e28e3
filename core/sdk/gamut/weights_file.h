// Weights in a safetensors file, for plugins that run published models. The program does the
// reading: it maps the file and checks every byte of its header.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gamut/module.h>

#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace gamut {

struct WeightsFile {
  NamedTensors tensors;  // on the CPU, in the order of their bytes; views of the mapped file
  std::map<std::string, std::string> metadata;
};

// Everything in the safetensors file at `path`. The tensors share memory with the system's cache
// until they are written to, which changes no file. Throws gamut::Error that names the file, the
// tensor and the offset for anything that the format does not allow.
inline WeightsFile read_weights(const std::string& path) {
  using Signature =
      std::tuple<std::vector<std::string>, std::vector<at::Tensor>, std::vector<std::string>,
                 std::vector<std::string>>(c10::string_view);
  static const auto call = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("gamut::read_safetensors", "")
                               .typed<Signature>();
  const auto [names, tensors, keys, values] = call.call(path);
  WeightsFile file;
  for (size_t i = 0; i < names.size(); ++i) file.tensors.push_back({names[i], tensors[i]});
  for (size_t i = 0; i < keys.size(); ++i) file.metadata[keys[i]] = values[i];
  return file;
}

// SHA-256 of the file's bytes as 64 hexadecimal digits: what names weights in an identity.
inline std::string file_sha256(const std::string& path) {
  static const auto call = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("gamut::file_sha256", "")
                               .typed<std::string(c10::string_view)>();
  return call.call(path);
}

}  // namespace gamut
