// Products whose operands are words of one float, one double or two bfloat16, for *.isa.cpp alone:
// gemm.h's tiles, with bfloat16 pairs multiplied as the processor has them (vdpbf16ps), and sums in
// float32.
#pragma once

#include "ops/simd/gemm.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

// What a product multiplies for elements of type T, and how it adds it up.
template <class T>
struct Operand {
  using Word = T;
  using S = T;
  static constexpr int64_t kElements = 1;  // of a word
  GAMUT_INLINE Vec<S> add_product(Vec<S> sum, Vec<T> a, Vec<T> b) { return sum + a * b; }
};
template <>
struct Operand<BFloat16> {
  using Word = int32_t;
  using S = float;
  static constexpr int64_t kElements = 2;
  GAMUT_INLINE Vec<float> add_product(Vec<float> sum, Vec<int32_t> a, Vec<int32_t> b) {
#if GAMUT_ISA_LEVEL >= 2
    return (Vec<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
    const int32_t high = static_cast<int32_t>(0xffff0000);
    return sum + (Vec<float>)(a << 16) * (Vec<float>)(b << 16) +
           (Vec<float>)(a & high) * (Vec<float>)(b & high);
#endif
  }
};

// The word at p, which need not be aligned.
template <class W>
GAMUT_INLINE W load_word(const W* p) {
  W word;
  __builtin_memcpy(&word, p, sizeof word);
  return word;
}
template <class W>
GAMUT_INLINE Vec<W> load_words(const W* p) {
  Vec<W> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

// c = alpha a b, or that added to c: c [m, vectors] of whole registers, `depth` words deep.
template <class T>
struct WordProduct {
  using Word = typename Operand<T>::Word;
  using S = typename Operand<T>::S;
  int64_t m, vectors, depth;
  Left<Word> a;
  Right<Word> b;
  S* c;
  int64_t c_row;
  S alpha;
  bool add;
};

template <class T, int kRows, int kVectors>
__attribute__((noinline)) void word_tile(const WordProduct<T>& p, int64_t row, int64_t column) {
  using Word = typename Operand<T>::Word;
  using V = Vec<typename Operand<T>::S>;
  constexpr int64_t kWidth = kLanes<Word>;
  V sums[kRows][kVectors] = {};
  const Word* left = p.a.data + row * p.a.row;
  const Word* right = p.b.data + column;
  for (int64_t k = 0; k < p.depth; ++k, left += p.a.column, right += p.b.row) {
    Vec<Word> columns[kVectors];
#pragma GCC unroll 3
    for (int j = 0; j < kVectors; ++j) columns[j] = load_words(right + j * kWidth);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const Vec<Word> x = splat(load_word(left + i * p.a.row));
#pragma GCC unroll 3
      for (int j = 0; j < kVectors; ++j) {
        sums[i][j] = Operand<T>::add_product(sums[i][j], x, columns[j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    auto* out = p.c + (row + i) * p.c_row + column;
#pragma GCC unroll 3
    for (int j = 0; j < kVectors; ++j) {
      V y = sums[i][j] * p.alpha;
      if (p.add) y += load(out + j * kWidth);
      store(out + j * kWidth, y);
    }
  }
}

template <class T, int kVectors>
void word_strip(const WordProduct<T>& p, int64_t column) {
  int64_t row = 0;
  for (; row + kTileRows <= p.m; row += kTileRows) {
    word_tile<T, kTileRows, kVectors>(p, row, column);
  }
  if (kTileRows > 4 && row + 4 <= p.m) {
    word_tile<T, 4, kVectors>(p, row, column);
    row += 4;
  }
  if (row + 2 <= p.m) {
    word_tile<T, 2, kVectors>(p, row, column);
    row += 2;
  }
  if (row < p.m) word_tile<T, 1, kVectors>(p, row, column);
}

template <class T>
void multiply(const WordProduct<T>& p) {
  for (int64_t from = 0; from < p.vectors;) {
    const int vectors = strip_of(p.vectors - from);
    const int64_t column = from * kLanes<typename Operand<T>::Word>;
    if (vectors == 3) {
      word_strip<T, 3>(p, column);
    } else if (vectors == 2) {
      word_strip<T, 2>(p, column);
    } else {
      word_strip<T, 1>(p, column);
    }
    from += vectors;
  }
}

}  // namespace
}  // namespace gamut::ops::GAMUT_ISA
