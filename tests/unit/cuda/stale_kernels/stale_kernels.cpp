// A kernels.so whose table has another layout than this build's.
#include "cuda/table.h"

const gamut::cuda::KernelTable* gamut_cuda_kernels() {
  static gamut::cuda::KernelTable table{};
  table.layout = gamut::cuda::kTableLayout + 1;
  return &table;
}
