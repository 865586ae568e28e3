// Arguments of the kernel that multiplies matrices with a few rows.
#pragma once

#include <stdint.h>

#include "ops/simd/element.h"
#include "ops/simd/isa.h"

namespace gamut::ops {

// y[r, n] = <x[r], weight[n]> for n from begin to end; sums are float32.
struct FewRowsArguments {
  Element element;  // of x, weight and y: float32 or bfloat16
  const void* x;    // [rows, size]
  int64_t rows, size;
  const void* weight;  // [outputs, size]
  void* y;             // [rows, outputs]
  int64_t outputs, begin, end;
};

GAMUT_ISA_KERNEL(few_rows, FewRowsArguments)

}  // namespace gamut::ops
