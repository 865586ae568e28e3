// The kernels of kernels.so as one table of functions, by which programs without CUDA call them.
//
// To add a host function: declare it in core/ops/<operator>/cuda/<operator>.h, include that here,
// and add its name to the list.
#pragma once

#include "cuda/types.h"

// One line each, by the alphabet.
// clang-format off
#define GAMUT_CUDA_KERNELS(X)
// clang-format on

namespace gamut::cuda {

struct KernelTable {
  int64_t bytes;  // sizeof the table that the library was built with
#define GAMUT_KERNEL_MEMBER(name) decltype(&cuda::name) name;
  GAMUT_CUDA_KERNELS(GAMUT_KERNEL_MEMBER)
#undef GAMUT_KERNEL_MEMBER
};

}  // namespace gamut::cuda

// The one symbol of kernels.so.
extern "C" __attribute__((visibility("default"))) const gamut::cuda::KernelTable*
gamut_cuda_kernels();
