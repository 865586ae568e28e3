// What the forward and the backward kernel do alike within a chunk; for *.isa.cpp alone.
#pragma once

#include "ops/gated_delta_rule/scratch.h"
#include "ops/simd/gemm.h"
#include "ops/simd/shuffle.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

// A log decay below this is as good as -infinity, whose differences would be NaN.
constexpr double kLeastGate = -1e4;

// ---- Rows: from the elements E of a tensor to sums of type T and back ----

template <class T, class E>
void load_row(const E* from, int64_t n, T* to, int64_t padded) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(to + i, load(from + i));
  for (; i < n; ++i) to[i] = load_one(from + i);
  for (; i < padded; ++i) to[i] = 0;
}

template <class T, class E>
void store_row(const T* from, int64_t n, E* to) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(to + i, load(from + i));
  for (; i < n; ++i) store_one(to + i, from[i]);
}

template <class T>
void clear(T* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = 0;
}

template <class T>
GAMUT_INLINE void scale_row(T* row, int64_t n, T factor) {
  for (int64_t i = 0; i < n; i += kLanes<T>) store(row + i, load(row + i) * factor);
}

// n is padded.
template <class T>
GAMUT_INLINE T dot(const T* a, const T* b, int64_t n) {
  Vec<T> sums{};
  for (int64_t i = 0; i < n; i += kLanes<T>) sums += load(a + i) * load(b + i);
  return sum(sums);
}

// ---- Transposes ----

template <class T>
struct IndexOf;
template <>
struct IndexOf<float> {
  typedef int32_t type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct IndexOf<double> {
  typedef int64_t type __attribute__((vector_size(kVectorBytes)));
};

// to[j][i] = from[i][j] for a square of one vector's side; rows from `rows` on count as zero. Each
// round interleaves the two halves of the registers: as many rounds as an index has bits transpose.
template <class T>
__attribute__((noinline)) void transpose_square(const T* from, int64_t from_row, int64_t rows,
                                                T* to, int64_t to_row) {
  constexpr int lanes = kLanes<T>;
  typename IndexOf<T>::type low, high;
  for (int i = 0; i < lanes; ++i) {
    low[i] = i / 2 + i % 2 * lanes;
    high[i] = lanes / 2 + i / 2 + i % 2 * lanes;
  }
  Vec<T> x[lanes], y[lanes];
  for (int i = 0; i < lanes; ++i) x[i] = i < rows ? load(from + i * from_row) : Vec<T>{};
  for (int bit = 1; bit < lanes; bit *= 2) {
    for (int i = 0; i < lanes / 2; ++i) {
      y[2 * i] = shuffle(x[i], x[i + lanes / 2], low);
      y[2 * i + 1] = shuffle(x[i], x[i + lanes / 2], high);
    }
    for (int i = 0; i < lanes; ++i) x[i] = y[i];
  }
  for (int i = 0; i < lanes; ++i) store(to + i * to_row, x[i]);
}

// to [columns, padded rows] from [rows, columns], columns being padded already.
template <class T>
void transpose(const T* from, int64_t from_row, int64_t rows, int64_t columns, T* to,
               int64_t to_row) {
  for (int64_t i = 0; i < delta_rule_padded(rows); i += kLanes<T>) {
    for (int64_t j = 0; j < columns; j += kLanes<T>) {
      transpose_square(from + i * from_row + j, from_row, rows - i, to + j * to_row + i, to_row);
    }
  }
}

// ---- The chunk itself ----

// The steps at hand: `rows` counts the padding that the products need.
struct Span {
  int64_t first, steps, rows;
  Span(int64_t first, int64_t last, int64_t chunk)
      : first(first),
        steps(last - first < chunk ? last - first : chunk),
        rows(delta_rule_padded(steps)) {}
};

// Rows of a chunk to come, fetched into the cache piece by piece between the products of this one:
// a head's rows lie too far apart for the hardware to foresee them.
class Ahead {
 public:
  static constexpr int kParts = 4;  // advance() that often

  void clear() { count_ = 0; }

  template <class E>
  void add(const DeltaRuleRows& from, int64_t head, int64_t column, int64_t n, const Span& span,
           bool to_write = false) {
    const E* row = static_cast<const E*>(from.data) + span.first * from.step_stride +
                   head * from.head_stride + column;
    const int64_t size = static_cast<int64_t>(sizeof(E));
    streams_[count_++] = {reinterpret_cast<const char*>(row),
                          from.step_stride * size,
                          n * size,
                          span.steps,
                          0,
                          to_write};
  }

  void advance() {
    for (int i = 0; i < count_; ++i) {
      Stream& s = streams_[i];
      const int64_t end = s.next + (s.rows + kParts - 1) / kParts;
      for (; s.next < end && s.next < s.rows; ++s.next) {
        const char* row = s.data + s.next * s.stride;
        for (int64_t byte = 0; byte < s.bytes; byte += 64) {
          s.to_write ? __builtin_prefetch(row + byte, 1, 2) : __builtin_prefetch(row + byte, 0, 2);
        }
      }
    }
  }

 private:
  struct Stream {
    const char* data;
    int64_t stride, bytes, rows, next;
    bool to_write;
  };
  Stream streams_[8];
  int count_ = 0;
};

template <class T, class E>
void load_rows(const DeltaRuleRows& from, int64_t head, int64_t column, int64_t n, const Span& span,
               T* to, int64_t padded) {
  const E* row = static_cast<const E*>(from.data) + span.first * from.step_stride +
                 head * from.head_stride + column;
  for (int64_t i = 0; i < span.steps; ++i, row += from.step_stride) {
    load_row(row, n, to + i * padded, padded);
  }
  clear(to + span.steps * padded, (span.rows - span.steps) * padded);
}

// Running sums of g, their exponentials, and beta. The sums are kept in two parts: differences of
// them matter, and may be small where they are large.
template <class T>
void load_gates(const DeltaRuleCall& call, int64_t head, const Span& span, ChunkScratch<T>& s) {
  const int64_t stride = call.sizes.value_heads;
  const T* g = static_cast<const T*>(call.g) + span.first * stride + head;
  const T* beta = static_cast<const T*>(call.beta) + span.first * stride + head;
  double sum = 0;
  for (int64_t i = 0; i < span.rows; ++i) {
    const bool inside = i < span.steps;
    if (inside) sum += g[i * stride] < kLeastGate ? kLeastGate : static_cast<double>(g[i * stride]);
    s.gate[i] = static_cast<T>(sum);
    s.gate_low[i] = static_cast<T>(sum - static_cast<double>(s.gate[i]));
    s.beta[i] = inside ? beta[i * stride] : T(0);
  }
  const T end = static_cast<T>(sum), end_low = static_cast<T>(sum - static_cast<double>(end));
  for (int64_t i = 0; i < span.rows; i += kLanes<T>) {
    const Vec<T> gate = load(s.gate + i), low = load(s.gate_low + i);
    store(s.decayed + i, exp(gate) * (low + T(1)));
    store(s.left + i, exp((end - gate) + (end_low - low)));
  }
}

// K K^T and Q K^T; the lower triangles count.
template <class T>
void multiply_keys(const T* q, const T* k, const Span& span, int64_t d_k, ChunkScratch<T>& s) {
  transpose(k, s.dk, span.rows, s.dk, s.keys_transposed, s.c);
  const Right<T> right{s.keys_transposed, s.c};
  gemm_lower<T>(span.rows, d_k, {k, s.dk, 1}, right, {s.kk, s.c});
  gemm_lower<T>(span.rows, d_k, {q, s.dk, 1}, right, {s.qk, s.c});
}

template <class T>
GAMUT_INLINE Vec<T> iota(int64_t from) {
  Vec<T> x;
  for (int i = 0; i < kLanes<T>; ++i) x[i] = static_cast<T>(i);
  return x + static_cast<T>(from);
}

// With Gam_ij = exp(G_i - G_j) for i >= j: A = strict_tril(beta K K^T . Gam), P = scale tril(Q K^T
// . Gam), and Gam itself where there is a place for it. Zeros fill the vectors that the diagonal
// cuts.
template <class T>
void decay_products(const Span& span, T scale, T* gam, ChunkScratch<T>& s) {
  for (int64_t i = 0; i < span.rows; ++i) {
    const T gate = s.gate[i], low = s.gate_low[i], beta = s.beta[i];
    for (int64_t j = 0; j <= i; j += kLanes<T>) {
      const int64_t at = i * s.c + j;
      const Vec<T> column = iota<T>(j), zero{};
      const Vec<T> apart = (gate - load(s.gate + j)) + (low - load(s.gate_low + j));
      const Vec<T> decay = column <= static_cast<T>(i) ? exp(apart) : zero;
      store(s.a + at, column < static_cast<T>(i) ? load(s.kk + at) * decay * beta : zero);
      store(s.p + at, column <= static_cast<T>(i) ? load(s.qk + at) * decay * scale : zero);
      if (gam) store(gam + at, decay);
    }
  }
}

// V' = (I + A)^-1 beta (V - diag(e) K S); `errors` comes as V.
template <class T>
void solve_errors(const T* k, const T* state, int64_t state_row, const Span& span, int64_t d_k,
                  ChunkScratch<T>& s) {
  for (int64_t i = 0; i < span.rows; ++i) {
    scale_row(s.errors + i * s.dv, s.dv, s.beta[i]);
    s.factor[i] = s.beta[i] * s.decayed[i];
  }
  const Output<T> out{s.errors, s.dv, T(-1), s.factor};
  gemm<T>(span.rows, s.dv, d_k, {k, s.dk, 1}, {state, state_row}, out.added());
  solve_unit_lower<T>(span.rows, s.dv, s.a, s.c, s.errors, s.dv);
}

}  // namespace
}  // namespace gamut::ops::GAMUT_ISA
