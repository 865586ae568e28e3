// Any bytes as the pickle of a checkpoint: either a gamut::Error, or values that can be walked to
// the last one and tensors that lie in their storages.
#include <gamut/error.h>

#include "checkpoint/torch_file/state_dict.h"
#include "support.h"

namespace {

using namespace gamut::checkpoint::torch_file;
using gamut::fuzz::require;

// Multiplied out again, in wider numbers than the reader has.
void check_tensor(const Pickle& pickle, const PickleTensor& tensor) {
  const auto* storage = pickle.get<PickleStorage>(tensor.storage);
  require(storage && storage->elements >= 0 && tensor.offset >= 0);
  const auto sizes = pickle.integers(tensor.sizes), strides = pickle.integers(tensor.strides);
  require(sizes.size() == strides.size() && sizes.size() <= kMaxTensorDimensions);
  __int128 last = tensor.offset;
  bool is_empty = false;
  for (size_t i = 0; i < sizes.size(); ++i) {
    require(sizes[i] >= 0 && strides[i] >= 0);
    is_empty |= sizes[i] == 0;
    last += static_cast<__int128>(sizes[i] - 1) * strides[i];
  }
  require(is_empty ? tensor.offset <= storage->elements : last < storage->elements);
  require(pickle.elements(tensor) >= 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const Pickle pickle = read_pickle(bytes, "input");
    for (const auto& value : pickle.values) {
      if (const auto* tensor = std::get_if<PickleTensor>(&value)) check_tensor(pickle, *tensor);
    }
    const StateDict dict = find_state_dict(pickle, "", "input");
    require(!dict.tensors.empty() && dict.left_out_keys.size() <= dict.left_out);
    for (const auto& [name, ref] : dict.tensors) require(pickle.get<PickleTensor>(ref));
    require(find_state_dict(pickle, dict.key, "input").tensors.size() == dict.tensors.size());
  } catch (const gamut::Error& error) {
    require(error.what()[0] != 0);
  }
  return 0;
}
