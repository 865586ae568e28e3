// What the forward and the backward pass of attention share: a strip of queries in lanes, and the
// packing of operands. For *.isa.cpp alone.
#pragma once

#include "ops/attention/kernel.h"
#include "ops/attention/product.h"
#include "ops/simd/transpose.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

constexpr int64_t kRow = kAttentionQueries;  // elements between rows of a strip in scratch

template <class T>
using WordOf = typename Operand<T>::Word;
template <class T>
using SumOfProduct = typename Operand<T>::S;

// A score that is not seen, and a maximum of none: 2^(kHidden - kNoMaximum) is 0.
template <class S>
constexpr S kHidden = static_cast<S>(-2e30);
template <class S>
constexpr S kNoMaximum = static_cast<S>(-1e30);

// 2^x.
template <class V>
GAMUT_INLINE V exp2(V x) {
  return exp2_of_product(x, V{} + 1);
}

// Hands out pieces of the scratch memory, each a whole number of cache lines.
struct Scratch {
  char* next;
  template <class P>
  P* take(int64_t n) {
    auto* piece = reinterpret_cast<P*>(next);
    next += (n * static_cast<int64_t>(sizeof(P)) + 63) / 64 * 64;
    return piece;
  }
};

template <class T>
GAMUT_INLINE const T* row_of(const AttentionRows& rows, int64_t i) {
  return static_cast<const T*>(rows.data) + i * rows.step;
}
// The same row as words, and the words between rows.
template <class T>
GAMUT_INLINE const WordOf<T>* words_of(const AttentionRows& rows, int64_t i) {
  return reinterpret_cast<const WordOf<T>*>(row_of<T>(rows, i));
}
template <class T>
GAMUT_INLINE int64_t word_step(const AttentionRows& rows) {
  return rows.step / Operand<T>::kElements;
}

// ---- Transposes ----

// Lanes [0, n) at p, n <= kLanes, the others zero, as they lie in memory.
GAMUT_INLINE Vec<float> load_words_first(const float* p, int64_t n) {
  return n >= kLanes<float> ? load(p) : load_first(p, n > 0 ? static_cast<int>(n) : 0);
}

// to[c][i] = from[i][c] for i < rows, c < columns; zero for the rows that fill a register up.
inline void turn_words(const float* from, int64_t step, int64_t rows, int64_t columns, float* to) {
  constexpr int64_t kWidth = kLanes<float>;
  for (int64_t i = 0; i < rows; i += kWidth) {
    for (int64_t c = 0; c < columns; c += kWidth) {
      Vec<float> block[kWidth];
      for (int64_t r = 0; r < kWidth; ++r) {
        block[r] =
            i + r < rows ? load_words_first(from + (i + r) * step + c, columns - c) : Vec<float>{};
      }
      transpose(block);
      for (int64_t r = 0; r < kWidth && c + r < columns; ++r) {
        store(to + (c + r) * kRow + i, block[r]);
      }
    }
  }
}
inline void turn_words(const double* from, int64_t step, int64_t rows, int64_t columns,
                       double* to) {
  constexpr int64_t kWidth = kLanes<double>;
  for (int64_t i = 0; i < (rows + kWidth - 1) / kWidth * kWidth; ++i) {
    for (int64_t c = 0; c < columns; ++c) to[c * kRow + i] = i < rows ? from[i * step + c] : 0;
  }
}

// Rows [begin, end) of a tensor, transposed, as words.
template <class T>
void turn_rows(const AttentionRows& rows, int64_t begin, int64_t end, int64_t head_dim,
               WordOf<T>* to) {
  using Bits = SumOfProduct<T>;  // as wide as a word; nothing is computed
  turn_words(reinterpret_cast<const Bits*>(words_of<T>(rows, begin)), word_step<T>(rows),
             end - begin, head_dim / Operand<T>::kElements, reinterpret_cast<Bits*>(to));
}

// The way back: row i of the tensor, i < rows, is column i of `from`.
template <class T>
void write_turned(const float* from, int64_t rows, int64_t columns, T* to, int64_t step) {
  constexpr int64_t kWidth = kLanes<float>;
  for (int64_t i = 0; i < rows; i += kWidth) {
    for (int64_t c = 0; c < columns; c += kWidth) {
      Vec<float> block[kWidth];
      for (int64_t r = 0; r < kWidth; ++r) {
        block[r] = c + r < columns ? load(from + (c + r) * kRow + i) : Vec<float>{};
      }
      transpose(block);
      for (int64_t r = 0; r < kWidth && i + r < rows; ++r) {
        T* const out = to + (i + r) * step + c;
        if (columns - c >= kWidth) {
          store(out, block[r]);
        } else {
          store_first(out, block[r], static_cast<int>(columns - c));
        }
      }
    }
  }
}
inline void write_turned(const double* from, int64_t rows, int64_t columns, double* to,
                         int64_t step) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t c = 0; c < columns; ++c) to[i * step + c] = from[c * kRow + i];
  }
}

// ---- Words of two bfloat16 ----

// Bits of x rounded to bfloat16 in the upper half of each lane.
GAMUT_INLINE Vec<int32_t> rounded_bits(Vec<float> x) {
  const Vec<int32_t> bits = (Vec<int32_t>)x;
  const Vec<int32_t> rounded = bits + (0x7fff + ((bits >> 16) & 1));
  return x == x ? rounded : (bits | 0x400000);
}

// low in the lower half of each word, high in the upper.
GAMUT_INLINE Vec<int32_t> pair(Vec<float> low, Vec<float> high) {
#if GAMUT_ISA_LEVEL >= 2
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
  static const uint16_t kInterleaved[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                            21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                            11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return (Vec<int32_t>)_mm512_maskz_permutexvar_epi16(0xffffffff, _mm512_loadu_si512(kInterleaved),
                                                      both);
#else
  return ((rounded_bits(low) >> 16) & 0xffff) |
         (rounded_bits(high) & static_cast<int32_t>(0xffff0000));
#endif
}

// Rows [begin, end) as the right operand of a product over rows: words of a row, or of two
// neighbours, zeros from head_dim to `width`.
template <class T>
void pack_rows(const AttentionRows& rows, int64_t begin, int64_t end, int64_t head_dim,
               int64_t width, T* to) {
  for (int64_t i = begin; i < end; ++i, to += width) {
    __builtin_memcpy(to, row_of<T>(rows, i), head_dim * sizeof(T));
    for (int64_t c = head_dim; c < width; ++c) to[c] = 0;
  }
}
inline void pack_row_pairs(const AttentionRows& rows, int64_t begin, int64_t end, int64_t head_dim,
                           int64_t width, int32_t* to) {
  constexpr int64_t kWidth = kLanes<float>;
  for (int64_t i = begin; i < end; i += 2, to += width) {
    const auto* low = row_of<BFloat16>(rows, i);
    const auto* high = i + 1 < end ? row_of<BFloat16>(rows, i + 1) : nullptr;
    int64_t c = 0;
    for (; c + kWidth <= head_dim; c += kWidth) {
      const auto lower = (Vec<int32_t>)load(low + c);
      const auto upper = high ? (Vec<int32_t>)load(high + c) : Vec<int32_t>{};
      const Vec<int32_t> words = ((lower >> 16) & 0xffff) | upper;
      __builtin_memcpy(to + c, &words, sizeof words);
    }
    for (; c < head_dim; ++c) {
      const uint32_t upper = high ? high[c].bits : 0;
      to[c] = static_cast<int32_t>(low[c].bits | upper << 16);
    }
    for (; c < width; ++c) to[c] = 0;
  }
}

template <class T>
void pack_words(const AttentionRows& rows, int64_t begin, int64_t end, int64_t head_dim,
                int64_t width, WordOf<T>* to) {
  if constexpr (Operand<T>::kElements == 2) {
    pack_row_pairs(rows, begin, end, head_dim, width, to);
  } else {
    pack_rows<T>(rows, begin, end, head_dim, width, to);
  }
}

// ---- Which keys a strip sees ----

// Queries [begin, end) of a head, in `vectors` registers.
template <class T>
struct Strip {
  using S = SumOfProduct<T>;
  static constexpr int64_t kWidth = kLanes<S>;
  static constexpr int64_t kQueries = 3 * kWidth;

  const AttentionHead& head;
  int64_t begin, end, vectors, first_key, last_key;  // keys [first_key, last_key) are seen by some

  Strip(const AttentionHead& h, int64_t from, int64_t to)
      : head(h), begin(from), end(to), vectors((to - from + kWidth - 1) / kWidth) {
    first_key = 0;
    last_key = h.keys;
    if (!h.causal) return;
    const int64_t seen = to + offset();
    if (seen < last_key) last_key = seen;
    const int64_t oldest = from + offset() - h.window + 1;
    if (h.window > 0 && oldest > 0) first_key = oldest / 2 * 2;  // pairs of keys stay whole
  }

  int64_t offset() const { return head.keys - head.queries; }

  // Whether every query sees all of keys [from, to).
  bool sees_all(int64_t from, int64_t to) const {
    if (!head.causal) return true;
    const bool old_enough = to - 1 <= begin + offset();
    return old_enough && (head.window == 0 || from > end - 1 + offset() - head.window);
  }

  // Scores [keys, queries] of keys from `key` on: those that are not seen become kHidden.
  void hide(int64_t key, int64_t keys, S* scores) const {
    if (sees_all(key, key + keys)) return;
    Vec<S> lane;
    for (int i = 0; i < kWidth; ++i) lane[i] = static_cast<S>(i);
    for (int64_t j = 0; j < keys; ++j) {
      for (int64_t v = 0; v < vectors; ++v) {
        S* const at = scores + j * kRow + v * kWidth;
        // Lanes from this one on are not before the key.
        const int64_t first = key + j - offset() - begin - v * kWidth;
        Vec<S> x = load(at);
        x = lane >= static_cast<S>(first) ? x : splat(kHidden<S>);
        if (head.window > 0) x = lane < static_cast<S>(first + head.window) ? x : splat(kHidden<S>);
        store(at, x);
      }
    }
  }
};

}  // namespace
}  // namespace gamut::ops::GAMUT_ISA
