// One step of the recurrence: products of the state with the weights of a block of hidden units,
// which are read once for a few batch rows, and their gates while the sums are in registers.
#include "ops/lstm/kernel.h"

#include "ops/conv1d/activation.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

using Arguments = LstmStepArguments;

constexpr int kLane = kLanes<float>;
constexpr int kRows = GAMUT_ISA_LEVEL >= 1 ? 6 : 2;  // of the batch at a time
constexpr int kBlock = static_cast<int>(kLstmBlock);
constexpr int kGates = 4;

// The state of one batch row after the step, for up to kLane units from `unit` on.
GAMUT_INLINE void update(const Arguments& a, int64_t row, int64_t unit,
                         const Vec<float> (&gates)[kGates]) {
  const int n = static_cast<int>(a.hidden - unit < kLane ? a.hidden - unit : kLane);
  if (n <= 0) return;
  float* c = a.c + row * a.hidden + unit;
  float* y = a.y + row * a.y_row + unit;
  const Vec<float> before = n == kLane ? load(c) : load_first(c, n);
  const Vec<float> now =
      multiply_add(sigmoid(gates[1]), before, sigmoid(gates[0]) * tanh(gates[2]));
  const Vec<float> h = sigmoid(gates[3]) * tanh(now);
  if (n == kLane) {
    store(c, now);
    store(y, h);
  } else {
    store_first(c, now, n);
    store_first(y, h, n);
  }
}

// Batch rows [row, row + R), units of the block from `part` on, one vector of them.
template <int R>
__attribute__((noinline)) void step_rows(const Arguments& a, int64_t block, int part, int64_t row) {
  Vec<float> sums[R][kGates] = {};
  const float* weight = a.weight + block * a.hidden * kGates * kBlock + part;
  const float* h = a.h + row * a.h_row;
  for (int64_t k = 0; k < a.hidden; ++k, weight += kGates * kBlock) {
    Vec<float> columns[kGates];
#pragma GCC unroll 4
    for (int g = 0; g < kGates; ++g) columns[g] = load(weight + g * kBlock);
#pragma GCC unroll 6
    for (int i = 0; i < R; ++i) {
      const Vec<float> x = splat(h[i * a.h_row + k]);
#pragma GCC unroll 4
      for (int g = 0; g < kGates; ++g) sums[i][g] = multiply_add(x, columns[g], sums[i][g]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < R; ++i) {
    const float* products =
        a.products + (row + i) * a.products_row + block * kGates * kBlock + part;
    for (int g = 0; g < kGates; ++g) sums[i][g] += load(products + g * kBlock);
    update(a, row + i, block * kBlock + part, sums[i]);
  }
}

template <int R>
GAMUT_INLINE void step_some(const Arguments& a, int64_t block, int part, int64_t row,
                            int64_t rows) {
  if (rows >= R) return step_rows<R>(a, block, part, row);
  if constexpr (R > 1) step_some<R - 1>(a, block, part, row, rows);
}

}  // namespace

void lstm_step(const Arguments& a) {
  for (int64_t i = a.block; i < a.block_end; ++i) {
    const int64_t block = a.backwards ? a.block_end - 1 - (i - a.block) : i;
    for (int part = 0; part < kBlock; part += kLane) {
      for (int64_t row = 0; row < a.batch; row += kRows) {
        step_some<kRows>(a, block, part, row, a.batch - row);
      }
    }
  }
}

}  // namespace gamut::ops::GAMUT_ISA
