// Products of small matrices that lie in the caches, for *.isa.cpp alone: a tile of the result
// stays in registers while the left operand is broadcast element by element against rows of the
// right one.
//
// The left operand may have any strides, so a transpose there is free. The right operand and the
// result are row-major, and their columns are counted in whole vectors: n must be a multiple of
// kLanes<T>, with zeros in what pads a matrix to that. Every element of a result is one chain of
// fused multiply-adds over k in order, whatever the shape of the call around it.
#pragma once

#include "ops/simd/vec.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

// A tile of kTileRows times 3 vectors leaves registers for a row of the right operand and a
// broadcast; Zen and Intel cores need 8 to 10 independent sums to keep their multipliers busy.
constexpr int kTileRows = GAMUT_ISA_LEVEL >= 1 ? 8 : 4;
constexpr int kTileVectors = 3;

// a b + c, rounded once. Where a sum has two products the compiler would choose which of them to
// round, and differently in each place.
GAMUT_INLINE Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) {
#if GAMUT_ISA_LEVEL >= 1
  return (Vec<float>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#else
  return (Vec<float>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#endif
}
GAMUT_INLINE Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) {
#if GAMUT_ISA_LEVEL >= 1
  return (Vec<double>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#else
  return (Vec<double>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#endif
}

// Element (i, j) is data[i * row + j * column].
template <class T>
struct Left {
  const T* data;
  int64_t row, column;
  Left transposed() const { return {data, column, row}; }
};

// Row-major; element (i, j) is data[i * row + j].
template <class T>
struct Right {
  const T* data;
  int64_t row;
};

// What becomes of row i of a product: c_i = keep * base_i + alpha * scale_i * (a b)_i.
template <class T>
struct Output {
  T* data;
  int64_t row;
  T alpha = 1;
  const T* scale = nullptr;  // one a row, or none: 1
  const T* base =
      nullptr;  // with rows as far apart as those of c, and c itself allowed; or none: 0
  T keep = 1;

  // The same on top of what c holds.
  Output added() const { return {data, row, alpha, scale, data, 1}; }
};

// Which elements of the left operand can be other than zero: the others are not read.
enum class Shape { full, lower, upper };

template <class T, int kRows, int kVectors>
struct Tile {
  Vec<T> sums[kRows][kVectors];

  __attribute__((always_inline)) void clear() {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
      for (int j = 0; j < kVectors; ++j) sums[i][j] = Vec<T>{};
    }
  }

  // sums += a[:, from:to] b[from:to, :].
  __attribute__((always_inline)) void multiply(const Left<T>& a, const Right<T>& b, int64_t from,
                                               int64_t to) {
    const T* left = a.data + from * a.column;
    const T* right = b.data + from * b.row;
    for (int64_t k = from; k < to; ++k, left += a.column, right += b.row) {
      Vec<T> columns[kVectors];
#pragma GCC unroll 3
      for (int j = 0; j < kVectors; ++j) columns[j] = load(right + j * kLanes<T>);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const Vec<T> x = splat(left[i * a.row]);
#pragma GCC unroll 3
        for (int j = 0; j < kVectors; ++j) sums[i][j] += x * columns[j];
      }
    }
  }

  __attribute__((always_inline)) void write(const Output<T>& c, int64_t first_row) const {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const T factor = c.scale ? c.alpha * c.scale[first_row + i] : c.alpha;
      T* out = c.data + i * c.row;
#pragma GCC unroll 3
      for (int j = 0; j < kVectors; ++j) {
        Vec<T> y = sums[i][j] * factor;
        if (c.base) y = multiply_add(load(c.base + i * c.row + j * kLanes<T>), splat(c.keep), y);
        store(out + j * kLanes<T>, y);
      }
    }
  }
};

template <class T>
struct Product {
  int64_t m, k;
  Left<T> a;
  Right<T> b;
  Output<T> c;
  Shape shape;
};

// Rows [row, row + kRows) of columns [column, column + kVectors vectors).
template <class T, int kRows, int kVectors>
__attribute__((noinline)) void product_tile(const Product<T>& p, int64_t row, int64_t column) {
  const int64_t from = p.shape == Shape::upper ? row : 0;
  const int64_t to = p.shape == Shape::lower && row + kRows < p.k ? row + kRows : p.k;
  Tile<T, kRows, kVectors> tile;
  tile.clear();
  tile.multiply({p.a.data + row * p.a.row, p.a.row, p.a.column}, {p.b.data + column, p.b.row}, from,
                to);
  Output<T> c = p.c;
  c.data += row * c.row + column;
  if (c.base) c.base += row * c.row + column;
  tile.write(c, row);
}

// One strip of kVectors vectors, for all rows: its part of the right operand stays in the L1 cache.
template <class T, int kVectors>
void product_strip(const Product<T>& p, int64_t column) {
  int64_t row = 0;
  for (; row + kTileRows <= p.m; row += kTileRows) {
    product_tile<T, kTileRows, kVectors>(p, row, column);
  }
  if (kTileRows > 4 && row + 4 <= p.m) {
    product_tile<T, 4, kVectors>(p, row, column);
    row += 4;
  }
  if (row + 2 <= p.m) {
    product_tile<T, 2, kVectors>(p, row, column);
    row += 2;
  }
  if (row < p.m) product_tile<T, 1, kVectors>(p, row, column);
}

// How many vectors the next strip takes of `left` ones: 3, but 2 and 2 rather than 3 and 1.
GAMUT_INLINE int strip_of(int64_t left) {
  if (left == 4 || left == 2) return 2;
  return left == 1 ? 1 : kTileVectors;
}

// c[m, n] from a[m, k] b[k, n]; Shape::lower says a(i, j) = 0 for j > i, Shape::upper for j < i.
// c must not overlap a or b; a, b and scale are not read past m and k.
template <class T>
void gemm(int64_t m, int64_t n, int64_t k, const Left<T>& a, const Right<T>& b, const Output<T>& c,
          Shape shape = Shape::full) {
  const Product<T> p{m, k, a, b, c, shape};
  for (int64_t column = 0; column < n;) {
    const int vectors = strip_of((n - column) / kLanes<T>);
    if (vectors == 3) {
      product_strip<T, 3>(p, column);
    } else if (vectors == 2) {
      product_strip<T, 2>(p, column);
    } else {
      product_strip<T, 1>(p, column);
    }
    column += vectors * kLanes<T>;
  }
}

// The same for square results of which only the lower triangle, with the diagonal, is wanted. What
// lies above it is written up to the end of a vector and a tile, and otherwise left as it was.
template <class T>
void gemm_lower(int64_t m, int64_t k, const Left<T>& a, const Right<T>& b, const Output<T>& c) {
  for (int64_t row = 0; row < m; row += kTileRows) {
    const int64_t rows = m - row < kTileRows ? m - row : kTileRows;
    const int64_t vectors = (row + rows + kLanes<T> - 1) / kLanes<T>;
    Output<T> out = c;
    out.data += row * c.row;
    if (out.base) out.base += row * c.row;
    if (out.scale) out.scale += row;
    gemm<T>(rows, vectors * kLanes<T>, k, {a.data + row * a.row, a.row, a.column}, b, out);
  }
}

// ---- Triangular systems ----

template <class T>
struct System {
  const T* a;  // [m, m], what lies below its diagonal is used
  int64_t a_row;
  T* x;
  int64_t x_row;
  int64_t m;
};

// Solves rows [row, row + kRows) of (I + strict_tril(a)) x = r, those above being solved.
template <class T, int kRows, int kVectors>
__attribute__((noinline)) void solve_tile(const System<T>& s, int64_t row, int64_t column) {
  Tile<T, kRows, kVectors> tile;
  tile.clear();
  const T* a = s.a + row * s.a_row;
  tile.multiply({a, s.a_row, 1}, {s.x + column, s.x_row}, 0, row);
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    T* out = s.x + (row + i) * s.x_row + column;
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      Vec<T> x = load(out + v * kLanes<T>) - tile.sums[i][v];
#pragma GCC unroll 8
      for (int j = 0; j < i; ++j) x -= splat(a[i * s.a_row + row + j]) * tile.sums[j][v];
      tile.sums[i][v] = x;
      store(out + v * kLanes<T>, x);
    }
  }
}

// The same for (I + strict_tril(a))^T x = r, the rows below being solved.
template <class T, int kRows, int kVectors>
__attribute__((noinline)) void solve_transposed_tile(const System<T>& s, int64_t row,
                                                     int64_t column) {
  Tile<T, kRows, kVectors> tile;
  tile.clear();
  tile.multiply({s.a + row, 1, s.a_row}, {s.x + column, s.x_row}, row + kRows, s.m);
#pragma GCC unroll 8
  for (int i = kRows - 1; i >= 0; --i) {
    T* out = s.x + (row + i) * s.x_row + column;
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      Vec<T> x = load(out + v * kLanes<T>) - tile.sums[i][v];
#pragma GCC unroll 8
      for (int j = i + 1; j < kRows; ++j) {
        x -= splat(s.a[(row + j) * s.a_row + row + i]) * tile.sums[j][v];
      }
      tile.sums[i][v] = x;
      store(out + v * kLanes<T>, x);
    }
  }
}

template <class T, int kVectors>
void solve_strip(const System<T>& s, int64_t column, bool transposed) {
  for (int64_t i = 0; i < s.m; i += kTileRows) {
    if (transposed) {
      solve_transposed_tile<T, kTileRows, kVectors>(s, s.m - kTileRows - i, column);
    } else {
      solve_tile<T, kTileRows, kVectors>(s, i, column);
    }
  }
}

// Replaces r in x[m, n] by the solution of (I + strict_tril(a)) x = r, or of the transposed system.
// m must be a multiple of kTileRows.
template <class T>
void solve_unit_lower(int64_t m, int64_t n, const T* a, int64_t a_row, T* x, int64_t x_row,
                      bool transposed = false) {
  const System<T> s{a, a_row, x, x_row, m};
  for (int64_t column = 0; column < n;) {
    const int vectors = strip_of((n - column) / kLanes<T>);
    if (vectors == 3) {
      solve_strip<T, 3>(s, column, transposed);
    } else if (vectors == 2) {
      solve_strip<T, 2>(s, column, transposed);
    } else {
      solve_strip<T, 1>(s, column, transposed);
    }
    column += vectors * kLanes<T>;
  }
}

}  // namespace
}  // namespace gamut::ops::GAMUT_ISA
