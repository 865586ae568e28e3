// The CUDA kernels as operators see them: opened from kernels.so where there is a GPU, or stood in
// for by a test's table.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <string>

#include "cuda/table.h"

namespace gamut::cuda {

// The kernels that work on tensors of that device; null where there are none, and then an operator
// is composed of LibTorch's. Opens lib/gamut/cuda/kernels.so beside the program on the first call
// with a CUDA device; where that fails it says so once, as a warning of LibTorch. A device older
// than compute capability 8.0 has none. The environment variable GAMUT_CUDA_KERNELS turns them off
// with `0`, or names another kernels.so by its path.
const KernelTable* kernels_for(const at::Device& device);

// Why kernels_for gives null for every CUDA device, in words; empty where kernels.so is there and
// fits.
const std::string& missing_kernels();

// The stream that LibTorch works on for that device in this thread; null for the CPU. Whoever
// launches on it has made the device current (c10::DeviceGuard).
Stream current_stream(const at::Device& device);

// Throws gamut::Error that names the operator, the kernel and what CUDA said, unless the status is
// ok.
void check(const Status& status, const char* name_of_operator);

// For tests: while it lives, kernels_for gives this table for tensors of the CPU, in every thread.
// They nest.
class ScopedKernels {
 public:
  explicit ScopedKernels(const KernelTable& kernels);
  ~ScopedKernels();
  ScopedKernels(const ScopedKernels&) = delete;
  ScopedKernels& operator=(const ScopedKernels&) = delete;

 private:
  const KernelTable* before_;
};

}  // namespace gamut::cuda
