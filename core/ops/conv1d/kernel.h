// Arguments of the convolution's kernel; the equation is in conv1d.h.
#pragma once

#include <stdint.h>

#include "ops/simd/isa.h"

namespace gamut::ops {

enum class ConvActivation { none, snake, elu };

// Output rows of one tile of time, and panels [panel, panel_end) of their columns. The tile's
// inputs are copied into `scratch`, activated and padded with zeros, unless it is null.
struct Conv1dArguments {
  // inputs
  const float* x;  // [length, inputs], of this batch row
  int64_t length, inputs;
  int64_t first, rows;  // the steps that the tile reads: first may be negative, and its end beyond
  ConvActivation activation;
  const float* alpha;          // [inputs], for snake
  const float* alpha_inverse;  // [inputs]
  float* scratch;              // [rows, scratch_row]
  int64_t scratch_row;

  // the reduction: `taps` runs of `run` floats, which lie tap_distance apart for one output row and
  // row_distance apart from output row to output row
  int64_t taps, run, tap_distance, row_distance;
  const float* weight;  // [panels, taps * run, width]
  int64_t width, panel, panel_end;
  bool prefetch;  // whether the weights are too large for a core's cache

  // outputs
  int64_t steps, outputs;
  const float* bias;      // [outputs] or null
  const float* residual;  // [steps, outputs] or null
  float* y;               // [steps, outputs]
  bool tanh;
};

GAMUT_ISA_KERNEL(conv1d_tile, Conv1dArguments)

}  // namespace gamut::ops
