// Arguments of the norms' kernels; the equations are in norm.h.
#pragma once

#include <stdint.h>

#include "ops/simd/element.h"
#include "ops/simd/isa.h"

namespace gamut::ops {

// A block of rows of d = groups * size elements. S is float for float32 and bfloat16, double for
// float64. "or null" is where something is absent.
struct NormArguments {
  Element element;       // of x, y, dy, dx
  Element gate_element;  // of gate, d_gate
  int64_t begin, end;    // rows of this task
  int64_t groups, size;
  double eps, divisor;  // r = 1 / sqrt(sum(u^2) / divisor + eps)
  bool gate_first;
  bool clamp;     // instead r = 1 / max(sqrt(sum(u^2) / divisor), eps)
  const void* x;  // [rows, d], rows x_stride apart
  int64_t x_stride;
  const void* gate;  // [rows, d] or null
  int64_t gate_stride;
  const void* weight;  // S [d] or null

  void* y;      // [rows, d]
  void* scale;  // S [rows, groups]: r, for the backward pass

  const void* dy;  // [rows, d], rows dy_stride apart
  int64_t dy_stride;
  void* dx;        // [rows, d]
  void* d_gate;    // [rows, d], with a gate
  void* d_weight;  // S [d], with a weight: zeros, to which the task's part is added
  void* scratch;   // S [2, size], this task's own
};

GAMUT_ISA_KERNEL(norm_forward, NormArguments)
GAMUT_ISA_KERNEL(norm_backward, NormArguments)

}  // namespace gamut::ops
