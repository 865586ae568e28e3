// The convolution of one tile of time as a matrix product whose reduction runs over taps and
// channels in place: a row of the left operand begins where its output row's window does.
//
// The reduction is cut into chunks, whose part of a strip of weights stays in the L1 cache while
// all rows of the tile pass. Every output is the sum over chunks, in order, of one chain of fused
// multiply-adds each; where the chunks are cut depends on the layer alone.
#include "ops/conv1d/kernel.h"

#include "ops/conv1d/activation.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

using Arguments = Conv1dArguments;

constexpr int kLane = kLanes<float>;
constexpr int kRows = GAMUT_ISA_LEVEL >= 1 ? 14 : 6;  // of a register tile, two vectors wide
constexpr int64_t kChunk = 128;  // steps of the reduction: 128 rows of 32 columns are 16 KB

// ---- The input, activated ----

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
void fill_scratch(const Arguments& a) {
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

// ---- The product ----

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
        const Vec<float> x = splat(base[i % 5 * distance]);
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

// All rows of the tile, in register tiles of nearly equal heights.
template <int V>
void multiply_strip(const Arguments& a, const Strip& s) {
  const int64_t tiles = (a.steps + kRows - 1) / kRows;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t row = a.steps * i / tiles;
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

}  // namespace

void conv1d_tile(const Arguments& a) {
  if (a.scratch) {
    if (a.activation == ConvActivation::snake) fill_scratch<ConvActivation::snake>(a);
    if (a.activation == ConvActivation::elu) fill_scratch<ConvActivation::elu>(a);
    if (a.activation == ConvActivation::none) fill_scratch<ConvActivation::none>(a);
  }
  const float* left = a.scratch ? a.scratch : a.x + a.first * a.inputs;
  for (int64_t panel = a.panel; panel < a.panel_end; ++panel) {
    const float* weight = a.weight + panel * a.taps * a.run * a.width;
    for (int64_t i = 0; i < a.width; i += 2 * kLane) {
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
