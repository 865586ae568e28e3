// Tensors stay views of the checkpoint until they are written, but for those of another dtype then.
#include "checkpoint/torch_file/convert.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include <utility>

#include "checkpoint/safetensors.h"
#include "checkpoint/torch_file/state_dict.h"
#include "checkpoint/torch_file/torch_file.h"

namespace gamut::checkpoint::torch_file {
namespace {

// A view may repeat its storage (x.expand(...)), and a few bytes can ask for any amount of memory.
constexpr uint64_t kMaxRepeatedBytes = uint64_t{1} << 30;

void check_repeats(const at::Tensor& tensor, const std::string& name,
                   const std::filesystem::path& path) {
  const bool repeats = tensor.nbytes() > tensor.storage().nbytes();
  GAMUT_CHECK(!repeats || tensor.nbytes() <= kMaxRepeatedBytes, path.string(), ": tensor `", name,
              "` repeats a storage of ", tensor.storage().nbytes(), " bytes up to ",
              tensor.nbytes(), "; at most ", kMaxRepeatedBytes, " are written");
}

NamedTensors take_tensors(TorchFile& file, const StateDict& dict, const std::filesystem::path& path,
                          const ConvertOptions& options, Converted& result) {
  NamedTensors tensors;
  for (const auto& [name, ref] : dict.tensors) {
    if (name.compare(0, options.prefix.size(), options.prefix) != 0) {
      ++result.other_tensors;
      continue;
    }
    at::Tensor tensor = file.tensor(*file.pickle().get<PickleTensor>(ref), name);
    check_repeats(tensor, name, path);
    if (options.dtype && tensor.is_floating_point()) tensor = tensor.to(options.dtype.value());
    ++result.dtypes[find_safetensors_dtype(tensor.scalar_type())->name];
    tensors.push_back({name.substr(options.prefix.size()), std::move(tensor)});
  }
  GAMUT_CHECK(!tensors.empty(), path.string(), " has no tensor whose name begins with `",
              options.prefix, "`; the first one is `", dict.tensors.front().first, "`");
  return tensors;
}

void check_target(const std::filesystem::path& from, const std::filesystem::path& to, bool force) {
  std::error_code none;
  GAMUT_CHECK(!std::filesystem::equivalent(from, to, none), "cannot convert ", from.string(),
              " into itself; name another file");
  GAMUT_CHECK(!std::filesystem::is_directory(to, none), to.string(),
              " is a folder; name the file to write");
  GAMUT_CHECK(force || !std::filesystem::exists(std::filesystem::symlink_status(to, none)),
              to.string(), " is there already; --force replaces it");
}

}  // namespace

Converted convert(const std::filesystem::path& from, const std::filesystem::path& to,
                  const ConvertOptions& options) {
  check_target(from, to, options.force);
  TorchFile file(from);
  StateDict dict = find_state_dict(file.pickle(), options.key, from.string());
  Converted result;
  const NamedTensors tensors = take_tensors(file, dict, from, options, result);
  // Readers for Python ask for it.
  if (!dict.metadata.emplace("format", "pt").second) {
    dict.metadata["format"] = "pt";
    ++dict.left_out;
    dict.left_out_keys.emplace_back("format");
  }
  write_safetensors(to, tensors, dict.metadata);
  for (const auto& [key, unused] : dict.metadata) result.metadata.push_back(key);
  result.key = dict.key;
  result.tensors = tensors.size();
  result.bytes = std::filesystem::file_size(to);
  result.left_out = dict.left_out;
  result.left_out_keys = std::move(dict.left_out_keys);
  return result;
}

}  // namespace gamut::checkpoint::torch_file
