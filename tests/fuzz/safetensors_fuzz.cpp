// Any bytes as a safetensors file: either a gamut::Error, or tensors that tile the data and can be
// read to the last byte.
#include "checkpoint/safetensors.h"

#include <ATen/ATen.h>

#include "support.h"

namespace {

using namespace gamut;
using namespace gamut::checkpoint;

using fuzz::MemoryFile;
using fuzz::require;

void check_header(const SafetensorsHeader& header, size_t size) {
  uint64_t end = 0;
  for (const auto& entry : header.tensors) {
    require(entry.begin == end && entry.end >= entry.begin);
    end = entry.end;
  }
  require(header.data_begin + end == size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    check_header(parse_safetensors_header(data, size, "input"), size);
    const MemoryFile file(data, size);
    for (Loading loading : {Loading::map, Loading::copy}) {
      for (const auto& entry : read_safetensors(file.path(), loading)) {
        const at::Tensor copy = entry.tensor.clone();
        require(copy.nbytes() == entry.tensor.nbytes());
      }
    }
  } catch (const Error& error) {
    require(error.what()[0] != 0);
  }
  return 0;
}
