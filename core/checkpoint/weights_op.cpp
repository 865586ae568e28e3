// gamut::read_safetensors and gamut::file_sha256.
#include "checkpoint/weights_op.h"

#include <torch/library.h>

#include <memory>
#include <tuple>
#include <vector>

#include "checkpoint/safetensors.h"
#include "files/hash.h"

namespace gamut::checkpoint {
namespace {

using Strings = std::vector<std::string>;

// Names and tensors in the order of the file; keys and values of its metadata.
std::tuple<Strings, std::vector<at::Tensor>, Strings, Strings> read_safetensors_op(
    c10::string_view path_text) {
  const std::filesystem::path path(std::string{path_text});
  const auto file = std::make_shared<const files::MappedFile>(path);
  Strings names, keys, values;
  std::vector<at::Tensor> tensors;
  for (auto& entry : read_safetensors(file, path, Loading::map)) {
    names.push_back(std::move(entry.name));
    tensors.push_back(std::move(entry.tensor));
  }
  for (const auto& [key, value] :
       parse_safetensors_header(file->data(), file->size(), path).metadata) {
    keys.push_back(key);
    values.push_back(value);
  }
  return {std::move(names), std::move(tensors), std::move(keys), std::move(values)};
}

std::string file_sha256_op(c10::string_view path) {
  const files::MappedFile file{std::filesystem::path(std::string{path})};
  return files::sha256_hex(file.data(), file.size());
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(gamut, library) {
  library.def(
      "read_safetensors(str path) -> (str[] names, Tensor[] tensors, str[] metadata_keys, "
      "str[] metadata_values)",
      read_safetensors_op);
  library.def("file_sha256(str path) -> str", file_sha256_op);
}

void link_operators() {}

}  // namespace gamut::checkpoint
