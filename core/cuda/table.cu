// kernels.so as its callers see it.
#include "cuda/table.h"

const gamut::cuda::KernelTable* gamut_cuda_kernels() {
  static const gamut::cuda::KernelTable table = {gamut::cuda::kTableLayout,
#define GAMUT_KERNEL_ENTRY(name) &gamut::cuda::name,
                                                 GAMUT_CUDA_KERNELS(GAMUT_KERNEL_ENTRY)
#undef GAMUT_KERNEL_ENTRY
  };
  return &table;
}
