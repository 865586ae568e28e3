// Arguments of the rotary kernels; the equation is in rope.h.
#pragma once

#include <stdint.h>

#include "ops/simd/element.h"
#include "ops/simd/isa.h"

namespace gamut::ops {

constexpr int kRopeMaxDim = 1024;

// S is float for float32 and bfloat16, double for float64. "or null" is where something is absent.
struct RopeArguments {
  Element element;  // of x, y, dy, dx; the rest is S
  int64_t heads, head_dim;
  int64_t pairs;  // that are turned
  bool interleaved, normalize;
  double eps;
  int64_t begin, end;  // steps of this task, in the flattened batch
  const void* x;       // [steps, heads, head_dim], steps x_stride apart
  int64_t x_stride;
  const void *cos, *sin;  // [table_steps, pairs]: step i has row i mod table_steps
  int64_t table_steps;
  const void* weight;  // [head_dim] or null
  const void* gain;    // [heads] or null

  // forward
  void* y;  // [steps, heads, head_dim]

  // backward
  const void* dy;  // [steps, heads, head_dim], steps dy_stride apart
  int64_t dy_stride;
  void* dx;        // [steps, heads, head_dim]
  void* d_weight;  // [head_dim], this task's part, or null
  void* d_gain;    // [heads], this task's part, or null
};

GAMUT_ISA_KERNEL(rope_forward, RopeArguments)
GAMUT_ISA_KERNEL(rope_backward, RopeArguments)

}  // namespace gamut::ops
