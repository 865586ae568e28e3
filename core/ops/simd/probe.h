// Functions of vec.h as kernels of their own, so that tests reach them in every instruction set.
#pragma once

#include <stdint.h>

#include "ops/simd/isa.h"

namespace gamut::ops {

struct ProbeArguments {
  const float* in;  // n of them
  int64_t n;
  float factor;
  float* exp;
  float* exp2_of_product;  // of `in` by `factor`
  float* softplus;
  float* softplus_slope;
  uint16_t* bfloat16;
};

GAMUT_ISA_KERNEL(probe, ProbeArguments)

}  // namespace gamut::ops
