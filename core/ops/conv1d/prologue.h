// The input of a tile of the convolution, activated and padded. For *.isa.cpp alone.
#pragma once

#include "ops/conv1d/activation.h"
#include "ops/conv1d/kernel.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

constexpr int kLane = kLanes<float>;

template <ConvActivation kActivation>
GAMUT_INLINE Vec<float> activate(Vec<float> x, Vec<float> alpha, Vec<float> inverse) {
  if (kActivation == ConvActivation::snake) return snake(x, alpha, inverse);
  if (kActivation == ConvActivation::elu) return elu(x);
  return x;
}

template <ConvActivation kActivation>
void activate_row(const float* x, const float* alpha, const float* inverse, int64_t size,
                  float* y) {
  constexpr bool by_channel = kActivation == ConvActivation::snake;
  int64_t c = 0;
  for (; c + kLane <= size; c += kLane) {
    store(y + c, activate<kActivation>(load(x + c), by_channel ? load(alpha + c) : Vec<float>{},
                                       by_channel ? load(inverse + c) : Vec<float>{}));
  }
  if (c == size) return;
  const int left = static_cast<int>(size - c);
  store_first(y + c,
              activate<kActivation>(load_first(x + c, left),
                                    by_channel ? load_first(alpha + c, left) : Vec<float>{},
                                    by_channel ? load_first(inverse + c, left) : Vec<float>{}),
              left);
}

void clear(float* y, int64_t size) {
  for (int64_t i = 0; i < size; ++i) y[i] = 0;
}

template <ConvActivation kActivation>
void fill_scratch(const Conv1dArguments& a) {
  const int64_t before = a.first < 0 ? (a.rows < -a.first ? a.rows : -a.first) : 0;
  const int64_t inside = a.length - a.first;  // steps of the tile before the end of x
  int64_t end = inside < a.rows ? inside : a.rows;
  if (end < before) end = before;
  clear(a.scratch, before * a.scratch_row);
  if (a.scratch_row == a.inputs && kActivation != ConvActivation::snake) {
    activate_row<kActivation>(a.x + (a.first + before) * a.inputs, nullptr, nullptr,
                              (end - before) * a.inputs, a.scratch + before * a.inputs);
  } else {
    for (int64_t i = before; i < end; ++i) {
      activate_row<kActivation>(a.x + (a.first + i) * a.inputs, a.alpha, a.alpha_inverse, a.inputs,
                                a.scratch + i * a.scratch_row);
    }
  }
  clear(a.scratch + end * a.scratch_row, (a.rows - end) * a.scratch_row);
}

// The tile's inputs where the product reads them.
GAMUT_INLINE const float* prologue(const Conv1dArguments& a) {
  if (!a.scratch) return a.x + a.first * a.inputs;
  switch (a.activation) {
    case ConvActivation::none:
      fill_scratch<ConvActivation::none>(a);
      break;
    case ConvActivation::snake:
      fill_scratch<ConvActivation::snake>(a);
      break;
    case ConvActivation::elu:
      fill_scratch<ConvActivation::elu>(a);
      break;
  }
  return a.scratch;
}

}  // namespace
}  // namespace gamut::ops::GAMUT_ISA
