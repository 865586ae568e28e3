// A file that Python's torch.save wrote (`.pth`, `.pt`, `.th`, `.bin`): a zip archive of a pickle
// and of the tensors' storages. Nothing of it is ever run.
//
// LibTorch's own torch::pickle_load does not read the state dict of a module (pytorch#100741).
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>

#include "checkpoint/torch_file/pickle.h"
#include "checkpoint/torch_file/zip_directory.h"
#include "files/file.h"

namespace gamut::checkpoint::torch_file {

class TorchFile {
 public:
  // Maps the file and reads its pickle; storages are left alone. Throws gamut::Error for what is no
  // such file, with what it is instead where that can be told: the format before torch 1.6, a
  // TorchScript archive, safetensors, text.
  explicit TorchFile(const std::filesystem::path& path);
  // The same of a file's bytes in memory; `name` is what messages call it.
  TorchFile(const std::shared_ptr<const std::string>& bytes, std::string name);

  const Pickle& pickle() const { return pickle_; }
  // A tensor of the pickle as a view of the file's bytes, which it keeps alive: strided as it was
  // saved, no copy. `name` is for messages. Throws gamut::Error where the file lacks its storage,
  // or holds another number of bytes or bytes that do not have their checksum.
  at::Tensor tensor(const PickleTensor& tensor, const std::string& name);

 private:
  TorchFile(const std::shared_ptr<const files::MappedFile>& file, std::string name);
  TorchFile(std::string_view bytes, std::shared_ptr<const void> owner, std::string name);

  const at::Tensor& storage(const PickleStorage& storage, const std::string& name);
  at::Tensor open_storage(const PickleStorage& storage, const std::string& name) const;

  std::string path_;
  std::shared_ptr<const void> owner_;  // of the bytes
  ZipDirectory archive_;
  std::string root_;  // the folder in the archive that holds everything, with its slash
  Pickle pickle_;
  // By key, with all their elements in a row; several tensors may share one.
  std::unordered_map<std::string_view, at::Tensor> storages_;
};

}  // namespace gamut::checkpoint::torch_file
