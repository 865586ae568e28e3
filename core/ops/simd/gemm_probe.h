// Functions of gemm.h as kernels of their own, so that tests reach them in every instruction set.
#pragma once

#include <stdint.h>

#include "ops/simd/isa.h"

namespace gamut::ops {

enum class GemmProbe { full, lower, upper, lower_result, solve, solve_transposed };

// Row-major matrices; a is read transposed ([k, m]) on request. The solves take a [m, m] and the
// right-hand side in c. n must be a multiple of what one register holds; 16 always is.
struct GemmProbeArguments {
  GemmProbe what;
  bool is_double;
  int64_t m, n, k;
  const void* a;
  bool transpose_a;
  const void* b;
  void* c;
  bool add;
  double alpha;
  const void* scale;  // [m] or null
};

GAMUT_ISA_KERNEL(gemm_probe, GemmProbeArguments)

}  // namespace gamut::ops
