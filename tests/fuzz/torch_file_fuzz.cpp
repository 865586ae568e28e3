// Any bytes as a checkpoint of torch.save: either a gamut::Error, or tensors that can be read to
// the last byte, and that come back when they are saved.
#include "checkpoint/torch_file/torch_file.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include "checkpoint/torch_file/save.h"
#include "checkpoint/torch_file/state_dict.h"
#include "support.h"

namespace {

using namespace gamut::checkpoint::torch_file;

template <class Data>
ValuePtr value_of(Data data) {
  return std::make_shared<const Value>(Value{std::move(data)});
}

std::string_view bytes_of(const at::Tensor& tensor) {
  const auto& storage = tensor.storage();
  return {static_cast<const char*>(storage.data()), storage.nbytes()};
}

// All tensors in one file again, as views of equal storages.
void write_and_read(const std::vector<at::Tensor>& tensors) {
  List list;
  for (const auto& tensor : tensors) list.items.push_back(value_of(tensor));
  const auto bytes = std::make_shared<const std::string>(save_to_bytes({std::move(list)}));
  TorchFile file(bytes, "written");
  const auto& read = std::get<PickleList>(file.pickle()[file.pickle().root]).items;
  gamut::fuzz::require(read.size() == tensors.size());
  for (size_t i = 0; i < read.size(); ++i) {
    const at::Tensor tensor = file.tensor(*file.pickle().get<PickleTensor>(read[i]), "tensor");
    gamut::fuzz::require(tensor.scalar_type() == tensors[i].scalar_type() &&
                         tensor.sizes() == tensors[i].sizes() &&
                         tensor.strides() == tensors[i].strides());
    gamut::fuzz::require(bytes_of(tensor) == bytes_of(tensors[i]));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const gamut::fuzz::MemoryFile input(data, size);
  try {
    TorchFile file(input.path());
    const StateDict dict = find_state_dict(file.pickle(), "", "input");
    std::vector<at::Tensor> tensors;
    for (const auto& [name, ref] : dict.tensors) {
      const at::Tensor tensor = file.tensor(*file.pickle().get<PickleTensor>(ref), name);
      // A few bytes can ask for a tensor of any size; convert() has a limit, too.
      if (tensor.numel() <= 1 << 20)
        gamut::fuzz::require(tensor.clone(at::MemoryFormat::Contiguous).numel() == tensor.numel());
      tensors.push_back(tensor);
    }
    write_and_read(tensors);
  } catch (const gamut::Error& error) {
    gamut::fuzz::require(error.what()[0] != 0);
  }
  return 0;
}
