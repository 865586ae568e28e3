// Arguments of the recurrence's kernel; the equations and layouts are in lstm.h.
#pragma once

#include <stdint.h>

#include "ops/simd/isa.h"

namespace gamut::ops {

constexpr int64_t kLstmBlock = 16;  // hidden units whose gates lie together

// One step of hidden units in blocks [block, block_end), for all batch rows. Rows of a batch are
// `..._row` floats apart.
struct LstmStepArguments {
  int64_t batch, hidden, block, block_end;
  bool backwards;       // the order of blocks: turning at the ends finds half of them in the cache
  const float* weight;  // [blocks, hidden, 4, 16]
  const float* products;  // [batch, blocks, 4, 16]: W x_t + b
  int64_t products_row;
  const float* h;  // [batch, hidden], before the step
  int64_t h_row;
  float* c;  // [batch, hidden], updated
  float* y;  // [batch, hidden], after the step
  int64_t y_row;
};

GAMUT_ISA_KERNEL(lstm_step, LstmStepArguments)

}  // namespace gamut::ops
