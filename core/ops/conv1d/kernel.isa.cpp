// The convolution of one tile of time as a matrix product whose reduction runs over taps and
// channels in place: a row of the left operand begins where its output row's window does.
//
// The reduction is cut into chunks, whose part of a strip of weights stays in the L1 cache while
// all rows of the tile pass. Every output is the sum over chunks, in order, of one chain of fused
// multiply-adds each; where the chunks are cut depends on the layer alone.
#include "ops/conv1d/kernel.h"

#include "ops/conv1d/prologue.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

using Arguments = Conv1dArguments;

constexpr int kRows = GAMUT_ISA_LEVEL >= 1 ? 14 : 6;  // of a register tile, two vectors wide
constexpr int64_t kChunk = 128;  // steps of the reduction: 128 rows of 32 columns are 16 KB

// From memory, where it costs a load: splat of a loaded number takes a shuffle too, which has to
// share a pipe with the multiply-adds.
GAMUT_INLINE Vec<float> broadcast(const float* p) {
#if GAMUT_ISA_LEVEL >= 1
  return (Vec<float>)_mm512_set1_ps(*p);
#else
  return (Vec<float>)_mm256_broadcast_ss(p);
#endif
}

// What a strip of columns and one chunk have in common for all rows of the tile.
struct Strip {
  const float* left;    // of the first output row, at the chunk
  const float* weight;  // at the chunk and strip
  int64_t taps, run;    // of the chunk
  int64_t column;       // of y
  int columns;          // of y that the strip covers
  bool first, last;     // of the chunks
};

// The first `n` lanes of a vector, all of them when n is enough.
GAMUT_INLINE Vec<float> load_up_to(const float* p, int n) {
  return n >= kLane ? load(p) : load_first(p, n);
}
GAMUT_INLINE void store_up_to(float* p, Vec<float> v, int n) {
  if (n >= kLane) return store(p, v);
  store_first(p, v, n);
}

template <int R, int V>
GAMUT_INLINE void write(const Arguments& a, const Strip& s, int64_t row, Vec<float> (&sums)[R][V]) {
#pragma GCC unroll 2
  for (int j = 0; j < V; ++j) {
    const int n = s.columns - j * kLane;
    if (n <= 0) return;
    const int64_t column = s.column + j * kLane;
    const Vec<float> bias = s.last && a.bias ? load_up_to(a.bias + column, n) : Vec<float>{};
#pragma GCC unroll 14
    for (int i = 0; i < R; ++i) {
      const int64_t at = (row + i) * a.outputs + column;
      Vec<float> v = sums[i][j];
      if (!s.first) v += load_up_to(a.y + at, n);
      if (s.last) {
        if (a.bias) v += bias;
        if (a.tanh) v = tanh(v);
        if (a.residual) v += load_up_to(a.residual + at, n);
      }
      store_up_to(a.y + at, v, n);
    }
  }
}

// R rows from `row` on of V vectors of the strip.
template <int R, int V>
__attribute__((noinline)) void multiply(const Arguments& a, const Strip& s, int64_t row) {
  Vec<float> sums[R][V] = {};
  const float* tap = s.left + row * a.row_distance;
  const float* weight = s.weight;
  const int64_t distance = a.row_distance;
  for (int64_t t = 0; t < s.taps; ++t, tap += a.tap_distance) {
    // Three bases and the distance reach all rows by the processor's own addressing.
    const float *p = tap, *q = tap + 5 * distance, *r = tap + 10 * distance;
    for (int64_t k = 0; k < s.run; ++k, ++p, ++q, ++r, weight += a.width) {
      Vec<float> columns[V];
#pragma GCC unroll 2
      for (int j = 0; j < V; ++j) columns[j] = load(weight + j * kLane);
#pragma GCC unroll 14
      for (int i = 0; i < R; ++i) {
        const float* base = i < 5 ? p : i < 10 ? q : r;
        const Vec<float> x = broadcast(base + i % 5 * distance);
#pragma GCC unroll 2
        for (int j = 0; j < V; ++j) sums[i][j] = multiply_add(x, columns[j], sums[i][j]);
      }
    }
  }
  write<R, V>(a, s, row, sums);
}

template <int R, int V>
GAMUT_INLINE void multiply_rows(const Arguments& a, const Strip& s, int64_t row, int64_t rows) {
  if (rows == R) return multiply<R, V>(a, s, row);
  if constexpr (R > 1) multiply_rows<R - 1, V>(a, s, row, rows);
}

// Asks for rows [from, to) of the next chunk's weights.
template <int V>
GAMUT_INLINE void prefetch(const Arguments& a, const Strip& s, int64_t from, int64_t to) {
  const float* next = s.weight + s.taps * s.run * a.width;
  for (int64_t k = from; k < to; ++k) {
    for (int j = 0; j < V * kLane; j += 16) __builtin_prefetch(next + k * a.width + j, 0, 2);
  }
}

// All rows of the tile, in register tiles of nearly equal heights.
template <int V>
void multiply_strip(const Arguments& a, const Strip& s) {
  const int64_t tiles = (a.steps + kRows - 1) / kRows, depth = s.taps * s.run;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t row = a.steps * i / tiles;
    if (a.prefetch) prefetch<V>(a, s, depth * i / tiles, depth * (i + 1) / tiles);
    multiply_rows<kRows, V>(a, s, row, a.steps * (i + 1) / tiles - row);
  }
}

// All chunks of a strip of V vectors.
template <int V>
void reduce(const Arguments& a, const float* left, const float* weight, int64_t column) {
  Strip s{};
  s.column = column;
  s.columns = static_cast<int>(a.outputs - column < V * kLane ? a.outputs - column : V * kLane);
  const int64_t parts = (a.run + kChunk - 1) / kChunk;            // of a tap
  const int64_t together = a.run <= kChunk ? kChunk / a.run : 1;  // taps of a chunk
  for (int64_t tap = 0; tap < a.taps; tap += together) {
    s.taps = together < a.taps - tap ? together : a.taps - tap;
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t from = a.run * part / parts;
      s.run = a.run * (part + 1) / parts - from;
      s.left = left + tap * a.tap_distance + from;
      s.weight = weight + (tap * a.run + from) * a.width;
      s.first = tap == 0 && part == 0;
      s.last = tap + together >= a.taps && part + 1 == parts;
      multiply_strip<V>(a, s);
    }
  }
}

// ---- One output ----

// Rows [row, row + R) of a panel of one column: vectors run along the reduction.
template <int R>
GAMUT_INLINE void dots(const Arguments& a, const float* left, const float* weight, int64_t row,
                       float* results) {
  Vec<float> sums[R] = {};
  const float* tap = left + row * a.row_distance;
  for (int64_t t = 0; t < a.taps; ++t, tap += a.tap_distance, weight += a.run) {
    for (int64_t k = 0; k < a.run; k += kLane) {
      const int n = a.run - k < kLane ? static_cast<int>(a.run - k) : kLane;
      const Vec<float> w = load_up_to(weight + k, n);
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) {
        sums[i] = multiply_add(load_up_to(tap + i * a.row_distance + k, n), w, sums[i]);
      }
    }
  }
  for (int i = 0; i < R; ++i) results[i] = sum(sums[i]);
}

// All rows of a panel of one column.
void reduce_one(const Arguments& a, const float* left, const float* weight, int64_t column) {
  constexpr int kAtOnce = 8;
  for (int64_t row = 0; row < a.steps; row += kAtOnce) {
    float results[kLane] = {};
    const int rows = a.steps - row < kAtOnce ? static_cast<int>(a.steps - row) : kAtOnce;
    if (rows == kAtOnce) {
      dots<kAtOnce>(a, left, weight, row, results);
    } else {
      for (int i = 0; i < rows; ++i) dots<1>(a, left, weight, row + i, results + i);
    }
    Vec<float> v = load(results);
    if (a.bias) v += a.bias[column];
    if (a.tanh) v = tanh(v);
    store(results, v);
    for (int i = 0; i < rows; ++i) {
      const int64_t at = (row + i) * a.outputs + column;
      a.y[at] = a.residual ? results[i] + a.residual[at] : results[i];
    }
  }
}

}  // namespace

void conv1d_tile(const Arguments& a) {
  const float* left = prologue(a);
  for (int64_t panel = a.panel; panel < a.panel_end; ++panel) {
    const float* weight = a.weight + panel * a.taps * a.run * a.width;
    if (a.width == 1) reduce_one(a, left, weight, panel);
    for (int64_t i = 0; i + 1 < a.width; i += 2 * kLane) {
      const int64_t column = panel * a.width + i;
      if (column >= a.outputs) break;
      if (a.width - i == kLane) {
        reduce<1>(a, left, weight + i, column);
      } else {
        reduce<2>(a, left, weight + i, column);
      }
    }
  }
}

}  // namespace gamut::ops::GAMUT_ISA
