// The transpose of a square of registers. For *.isa.cpp alone.
#pragma once

#include "ops/simd/shuffle.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

// Rows i and i + kWidth of as many vectors as a vector has lanes exchange blocks of kWidth lanes.
template <int kWidth, class V>
GAMUT_INLINE void exchange_blocks(V* rows) {
  constexpr int lanes = kLanes<int32_t>;
  Vec<int32_t> low, high;
  for (int lane = 0; lane < lanes; ++lane) {
    const bool second = lane & kWidth;
    low[lane] = second ? lanes + lane - kWidth : lane;
    high[lane] = second ? lanes + lane : lane + kWidth;
  }
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) {
    if (i & kWidth) continue;
    const V a = rows[i], b = rows[i + kWidth];
    rows[i] = shuffle(a, b, low);
    rows[i + kWidth] = shuffle(a, b, high);
  }
}

// Transposes kLanes<V> vectors of 32-bit lanes in place.
template <class V>
GAMUT_INLINE void transpose(V* rows) {
  static_assert(sizeof(rows[0][0]) == 4, "lanes of 32 bits");
  exchange_blocks<1>(rows);
  exchange_blocks<2>(rows);
  exchange_blocks<4>(rows);
  if constexpr (kLanes<int32_t> == 16) exchange_blocks<8>(rows);
}

}  // namespace
}  // namespace gamut::ops::GAMUT_ISA
