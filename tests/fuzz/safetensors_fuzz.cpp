// Any bytes as a safetensors file: either a gamut::Error, or tensors that tile the data and can be
// read to the last byte.
#include <ATen/ATen.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "checkpoint/safetensors.h"

namespace {

using namespace gamut;
using namespace gamut::checkpoint;

void require(bool condition) {
  if (!condition) std::abort();
}

// A file without a disk.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) {
    require(descriptor_ >= 0 && write(descriptor_, data, size) == static_cast<ssize_t>(size));
  }
  ~MemoryFile() { close(descriptor_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

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
