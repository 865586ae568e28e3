// Launches of kernels, each checked, and the size of their shared memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/types.h"

namespace gamut::cuda {

// The bytes of shared memory for pieces taken in the same order by SharedMemory::take.
class SharedSize {
 public:
  template <class T>
  SharedSize& add(int64_t count) {
    bytes_ += (static_cast<size_t>(count) * sizeof(T) + 15) / 16 * 16;
    return *this;
  }

  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

struct Launch {
  int64_t grid;  // blocks; none: nothing is launched
  int block;     // threads of a block
  size_t shared = 0;
  Stream stream = nullptr;
};

#ifdef __CUDACC__

// Launches the kernel; the status says whether it could be, not whether it came to its end.
template <class... Parameters, class... Arguments>
Status launch(void (*kernel)(Parameters...), const char* name, const Launch& how,
              Arguments... arguments) {
  constexpr size_t kFreeShared = 48 * 1024;  // more has to be asked for
  if (how.grid == 0) return {};
  if (how.grid > INT32_MAX) return {name, "more than 2^31 - 1 blocks"};
  if (how.shared > kFreeShared) {
    const auto error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                            cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            static_cast<int>(how.shared));
    if (error != cudaSuccess) return {name, cudaGetErrorString(error)};
  }
  kernel<<<static_cast<unsigned>(how.grid), how.block, how.shared,
           static_cast<cudaStream_t>(how.stream)>>>(static_cast<Parameters>(arguments)...);
  const auto error = cudaGetLastError();
  return error == cudaSuccess ? Status{} : Status{name, cudaGetErrorString(error)};
}

// Multiprocessors of the current device.
inline int multiprocessors() {
  int device = 0, count = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) != cudaSuccess) {
    return 1;
  }
  return count;
}

#endif

}  // namespace gamut::cuda

#ifndef __CUDACC__
#include "cuda/emulation/launch.h"
#endif
