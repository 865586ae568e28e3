// Lanes of two registers in any order. For *.isa.cpp alone.
#pragma once

#include "ops/simd/vec.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

// Lane i of the result is lane index[i] of x and y, those of y counted on from those of x.
template <class V, class Index>
GAMUT_INLINE V shuffle(V x, V y, Index index) {
#ifdef __clang__  // which has it for constants alone
  constexpr int lanes = sizeof(V) / sizeof(x[0]);
  V result{};
  for (int i = 0; i < lanes; ++i) {
    result[i] = index[i] < lanes ? x[index[i]] : y[index[i] - lanes];
  }
  return result;
#else
  return __builtin_shuffle(x, y, index);
#endif
}

}  // namespace
}  // namespace gamut::ops::GAMUT_ISA
