// Any bytes as a checkpoint of torch.save: either a gamut::Error, or tensors that can be read to
// the last byte.
#include "checkpoint/torch_file/torch_file.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include "checkpoint/torch_file/state_dict.h"
#include "support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gamut::checkpoint::torch_file;
  const gamut::fuzz::MemoryFile input(data, size);
  try {
    TorchFile file(input.path());
    const StateDict dict = find_state_dict(file.pickle(), "", "input");
    for (const auto& [name, ref] : dict.tensors) {
      const at::Tensor tensor = file.tensor(*file.pickle().get<PickleTensor>(ref), name);
      // A few bytes can ask for a tensor of any size; convert() has a limit, too.
      if (tensor.numel() <= 1 << 20)
        gamut::fuzz::require(tensor.clone(at::MemoryFormat::Contiguous).numel() == tensor.numel());
    }
  } catch (const gamut::Error& error) {
    gamut::fuzz::require(error.what()[0] != 0);
  }
  return 0;
}
