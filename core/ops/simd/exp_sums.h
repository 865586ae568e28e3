// Arguments of the kernel that measures exponentials; see exp_rate.h.
#pragma once

#include <stdint.h>

#include "ops/simd/isa.h"

namespace gamut::ops {

// y[i] = sum over j < times of 2^(x[i] j / times), for i in [begin, end).
struct ExpSumsArguments {
  const float* x;
  float* y;
  int64_t begin, end, times;
};

GAMUT_ISA_KERNEL(exp_sums, ExpSumsArguments)

}  // namespace gamut::ops
