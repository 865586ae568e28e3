// What both passes of gamut::ssd do with a chunk: loading, transposing, decays and scores. For
// *.isa.cpp alone.
#pragma once

#include "ops/simd/gemm.h"
#include "ops/simd/shuffle.h"
#include "ops/ssd/kernel.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

using Arguments = SsdArguments;

// ---- Rows in and out ----

template <class S, class E>
void read_row(S* to, const E* from, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<S> <= n; i += kLanes<S>) store(to + i, load(from + i));
  for (; i < n; ++i) to[i] = load_one(from + i);
}

// [count, n] from rows [first, ...), columns [column, column + n), with to_row elements a row.
template <class S>
void read_rows(S* to, int64_t to_row, const SsdRows& from, int64_t first, int64_t count,
               int64_t column, int64_t n) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = (first + i) * from.step + column;
    if constexpr (sizeof(S) == sizeof(double)) {
      read_row(to + i * to_row, static_cast<const double*>(from.data) + at, n);
    } else if (from.element == Element::bfloat16) {
      read_row(to + i * to_row, static_cast<const BFloat16*>(from.data) + at, n);
    } else {
      read_row(to + i * to_row, static_cast<const float*>(from.data) + at, n);
    }
  }
}

template <class S, class E>
void write_row(E* to, const S* from, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<S> <= n; i += kLanes<S>) store(to + i, load(from + i));
  for (; i < n; ++i) store_one(to + i, from[i]);
}

// Row `step` of x, y and their gradients: [heads, head_dim] elements.
template <class S>
void write_head(const Arguments& a, const SsdRowsOut& to, int64_t step, int64_t head,
                const S* from) {
  const int64_t at = (step * a.heads + head) * a.head_dim;
  if constexpr (sizeof(S) == sizeof(double)) {
    write_row(static_cast<double*>(to.data) + at, from, a.head_dim);
  } else if (to.element == Element::bfloat16) {
    write_row(static_cast<BFloat16*>(to.data) + at, from, a.head_dim);
  } else {
    write_row(static_cast<float*>(to.data) + at, from, a.head_dim);
  }
}

// ---- Transposes ----

// Lane by lane: the first or the second halves of x and y, interleaved.
GAMUT_INLINE Vec<float> interleave(Vec<float> x, Vec<float> y, bool second) {
  typedef int32_t Index __attribute__((vector_size(kVectorBytes)));
  Index index;
  for (int i = 0; i < kLanes<float>; ++i) {
    index[i] = i / 2 + (second ? kLanes<float> / 2 : 0) + (i % 2) * kLanes<float>;
  }
  return shuffle(x, y, index);
}

// A square of one register a row.
GAMUT_INLINE void transpose_square(float* to, int64_t to_row, const float* from, int64_t from_row) {
  constexpr int n = kLanes<float>;
  Vec<float> rows[n], next[n];
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i) rows[i] = load(from + i * from_row);
#pragma GCC unroll 4
  for (int width = n; width > 1; width /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < n / 2; ++i) {
      next[2 * i] = interleave(rows[i], rows[i + n / 2], false);
      next[2 * i + 1] = interleave(rows[i], rows[i + n / 2], true);
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) rows[i] = next[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i) store(to + i * to_row, rows[i]);
}

template <class S>
void transpose_part(S* to, int64_t to_row, const S* from, int64_t from_row, int64_t m, int64_t n) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) to[j * to_row + i] = from[i * from_row + j];
  }
}

// to[n, m] = from[m, n]^T.
GAMUT_INLINE void transpose(double* to, int64_t to_row, const double* from, int64_t from_row,
                            int64_t m, int64_t n) {
  transpose_part(to, to_row, from, from_row, m, n);
}
void transpose(float* to, int64_t to_row, const float* from, int64_t from_row, int64_t m,
               int64_t n) {
  constexpr int64_t square = kLanes<float>;
  const int64_t whole_m = m / square * square, whole_n = n / square * square;
  for (int64_t i = 0; i < whole_m; i += square) {
    for (int64_t j = 0; j < whole_n; j += square) {
      transpose_square(to + j * to_row + i, to_row, from + i * from_row + j, from_row);
    }
  }
  transpose_part(to + whole_n * to_row, to_row, from + whole_n, from_row, m, n - whole_n);
  transpose_part(to + whole_m, to_row, from + whole_m * from_row, from_row, m - whole_m, whole_n);
}

template <class S>
S dot(const S* x, const S* y, int64_t n) {  // n: whole vectors
  Vec<S> total{};
  for (int64_t i = 0; i < n; i += kLanes<S>) total += load(x + i) * load(y + i);
  return sum(total);
}

template <class S>
void scale_row(S* to, const S* from, S by, int64_t n) {  // n: whole vectors
  for (int64_t i = 0; i < n; i += kLanes<S>) store(to + i, load(from + i) * by);
}

// ---- A chunk ----

// Hands out scratch memory.
template <class S>
class Scratch {
 public:
  explicit Scratch(void* start) : next_(static_cast<S*>(start)) {}
  S* take(int64_t rows, int64_t columns) {
    S* mine = next_;
    next_ += rows * GAMUT_SSD_PADDED(columns);
    return mine;
  }

 private:
  S* next_;
};

struct Span {
  int64_t begin, length, index;  // first step, steps, number of the chunk
};

// What depends on the group only. Rows are padded as in Scratch.
template <class S>
struct Group {
  int64_t pn, pq;           // padded d_state and chunk
  S *b, *c, *b_t, *scores;  // [Q, N], [Q, N], [N, Q], [Q, Q]: C B^T, its lower triangle

  Group(const Arguments& a, Scratch<S>& scratch)
      : pn(GAMUT_SSD_PADDED(a.d_state)),
        pq(GAMUT_SSD_PADDED(a.chunk)),
        b(scratch.take(a.chunk, a.d_state)),
        c(scratch.take(a.chunk, a.d_state)),
        b_t(scratch.take(a.d_state, a.chunk)),
        scores(scratch.take(a.chunk, a.chunk)) {}

  void enter(const Arguments& a, const Span& at) {
    const int64_t column = a.first_head / (a.heads / a.groups) * a.d_state;
    read_rows(b, pn, a.b, at.begin, at.length, column, a.d_state);
    read_rows(c, pn, a.c, at.begin, at.length, column, a.d_state);
    transpose(b_t, pq, b, pn, at.length, a.d_state);
    gemm_lower<S>(at.length, a.d_state, {c, pn, 1}, {b_t, pq}, {scores, pq});
  }
};

// The decays of one head in a chunk. Sums of g are float64 and kept in two parts: a difference of
// two is as exact as the inputs however much has decayed before.
template <class S>
struct Decays {
  S dt[kSsdMaxChunk + kSsdPad];
  S high[kSsdMaxChunk + kSsdPad], low[kSsdMaxChunk + kSsdPad];  // a = high + low
  S from_start[kSsdMaxChunk + kSsdPad];                         // exp(a_i)
  S to_end[kSsdMaxChunk + kSsdPad];                             // exp(a_Q - a_i)
  S whole;                                                      // exp(a_Q)

  void enter(const Arguments& a, const Span& at, int64_t head) {
    double total[kSsdMaxChunk], sum = 0;
    for (int64_t i = 0; i < at.length; ++i) {
      const int64_t place = (at.begin + i) * a.heads + head;
      dt[i] = static_cast<const S*>(a.dt)[place];
      sum += static_cast<double>(static_cast<const S*>(a.g)[place]);
      total[i] = sum;
      high[i] = static_cast<S>(sum);
      low[i] = static_cast<S>(sum - static_cast<double>(high[i]));
    }
    for (int64_t i = 0; i < at.length; ++i) to_end[i] = static_cast<S>(sum - total[i]);
    for (int64_t i = 0; i < at.length; i += kLanes<S>) {
      store(from_start + i, exp(load(high + i)));
      store(to_end + i, exp(load(to_end + i)));
    }
    whole = from_start[at.length - 1];
  }
};

template <class S>
GAMUT_INLINE Vec<S> lane_numbers() {
  Vec<S> v;
  for (int i = 0; i < kLanes<S>; ++i) v[i] = static_cast<S>(i);
  return v;
}

// Row i of L from column 0 up to the vector of column i: exp(a_i - a_j), 0 for j > i. Calls
// use(j, L[i, j...]).
template <class S, class Use>
GAMUT_INLINE void decay_row(const Decays<S>& d, int64_t i, const Use& use) {
  const Vec<S> high = splat(d.high[i]), low = splat(d.low[i]);
  const Vec<S> numbers = lane_numbers<S>();
  for (int64_t j = 0; j <= i; j += kLanes<S>) {
    const Vec<S> apart = (high - load(d.high + j)) + (low - load(d.low + j));
    if (j + kLanes<S> <= i + 1) {
      use(j, exp(apart));
      continue;
    }
    const auto within = numbers <= static_cast<S>(i - j);
    use(j, within ? exp(within ? apart : Vec<S>{}) : Vec<S>{});
  }
}

}  // namespace
}  // namespace gamut::ops::GAMUT_ISA
