#include "cuda/device_facts.h"

#include "cuda/device.cuh"

namespace gamut::cuda {

int compute_capability(int index) {
#ifdef __CUDACC__
  int major = 0, minor = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index) != cudaSuccess) {
    return -1;
  }
  return 10 * major + minor;
#else
  return index >= 0 ? 80 : -1;  // what the emulator emulates
#endif
}

int most_shared_memory(int index) {
#ifdef __CUDACC__
  int bytes = 0;
  const auto what = cudaDevAttrMaxSharedMemoryPerBlockOptin;
  return cudaDeviceGetAttribute(&bytes, what, index) == cudaSuccess ? bytes : -1;
#else
  return index >= 0 ? static_cast<int>(kLeastSharedMemory) : -1;
#endif
}

}  // namespace gamut::cuda
