// Arguments of the convolution's kernels; the equation is in causal_conv1d.h.
#pragma once

#include <stdint.h>

#include "ops/simd/element.h"
#include "ops/simd/isa.h"

namespace gamut::ops {

constexpr int kConvSteps = 64;  // most steps of a piece
constexpr int kConvMaxWidth = 64;

// Steps [begin, end) of the flattened batch, within one document.
struct ConvPiece {
  int64_t begin, end;
  int64_t document_begin, document_end;
  int64_t document;  // whose state it is
};

// S is float for float32 and bfloat16, double for float64. "or null" is where something is absent.
struct CausalConv1dArguments {
  Element element;  // of x, y, dy, dx; the rest is S
  int64_t channels, width;
  bool silu;
  const ConvPiece* pieces;  // of this task
  int64_t n_pieces;
  const void* x;  // [steps, channels], rows x_stride apart
  int64_t x_stride;
  const void* taps;           // [channels, width]
  const void* bias;           // [channels] or null
  const void* initial_state;  // [documents, width - 1, channels] or null

  // forward
  void* y;            // [steps, channels]
  void* final_state;  // as initial_state

  // backward
  const void* dy;  // [steps, channels], rows dy_stride apart
  int64_t dy_stride;
  const void* d_final_state;  // or null
  void* dx;                   // [steps, channels]
  void* d_initial_state;      // or null
  void* d_taps;               // [width, channels], this task's part
  void* d_bias;               // [channels], this task's part
};

GAMUT_ISA_KERNEL(causal_conv1d_forward, CausalConv1dArguments)
GAMUT_ISA_KERNEL(causal_conv1d_backward, CausalConv1dArguments)

}  // namespace gamut::ops
