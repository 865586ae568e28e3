// What the kernels of the chunked gated delta rule share: where a chunk lies, its rows on their way
// to shared memory, its gates, and products with triangular matrices.
#pragma once

#include <type_traits>

#include "cuda/mma.cuh"
#include "cuda/pack.cuh"
#include "ops/gated_delta_rule/cuda/delta_rule.h"

namespace gamut::cuda {

// ---- Places ----

__device__ inline int64_t sequence_begin(const DeltaRuleShape& shape, int64_t sequence) {
  return shape.offsets ? shape.offsets[sequence] : shape.steps / shape.sequences * sequence;
}

// Steps [first, first + steps) of a sequence, the `index`-th of its pieces.
struct Piece {
  int64_t sequence, index, first, steps;
  bool is_last;  // of its sequence
};

// The piece of `length` steps at most that has this slot, as delta_rule.h counts them. A sequence
// without steps has one piece, of none. index < 0: there is no such piece.
__device__ inline Piece piece_of_slot(const DeltaRuleShape& shape, int64_t length, int64_t slot) {
  int64_t low = 0, high = shape.sequences - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (sequence_begin(shape, middle) / length + middle <= slot) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const int64_t begin = sequence_begin(shape, low), end = sequence_begin(shape, low + 1);
  const int64_t index = slot - (begin / length + low), first = begin + index * length;
  if (index > 0 && first >= end) return {low, -1, end, 0, false};
  const int64_t last = first + length < end ? first + length : end;
  return {low, index, first, last - first, last == end};
}

// The slot of a sequence's first piece of `length` steps.
__device__ inline int64_t first_slot(const DeltaRuleShape& shape, int64_t length,
                                     int64_t sequence) {
  return sequence_begin(shape, sequence) / length + sequence;
}

// ---- Rows in shared memory ----

// Behind each row of a tile, so that loads of matrices meet no bank twice.
constexpr int kTilePad = 8;

constexpr int tile_stride(int columns) {
  return columns + kTilePad;
}

// The bytes by which rows of `width` elements can be copied: 16, 8 or 4, as all of them begin and
// end at multiples of that; or one element.
template <class E>
__host__ __device__ inline int copy_bytes(const DeltaRuleRows& x, int64_t width) {
  const uint64_t places =
      reinterpret_cast<uintptr_t>(x.data) |
      static_cast<uint64_t>((x.step_stride | x.head_stride | width)) * sizeof(E);
  for (int bytes = 16; bytes > 2; bytes /= 2) {
    if (places % bytes == 0) return bytes;
  }
  return sizeof(E);
}

template <class E>
__device__ inline const E* row_of(const DeltaRuleRows& x, int64_t step, int64_t head) {
  return static_cast<const E*>(x.data) + step * x.step_stride + head * x.head_stride;
}

// A tile of `columns` columns, each row followed by kTilePad elements that are never read.
template <class E>
__device__ inline Rows<E> rows_of_tile(const E* tile, int columns) {
  return {tile, tile_stride(columns)};
}

template <int kBytes>
using Bytes = std::integral_constant<int, kBytes>;

template <int kBytes, class E>
__device__ inline void copy_piece(E* to, const E* from, bool valid) {
  if constexpr (kBytes == 16) copy_async16(to, from, valid);
  if constexpr (kBytes == 8) copy_async8(to, from, valid);
  if constexpr (kBytes == 4) copy_async4(to, from, valid);
  if constexpr (kBytes == 2) *to = valid ? *from : static_cast<E>(0.0F);
}

template <int kRows, int kBytes, class E>
__device__ inline void load_pieces(E* tile, int columns, const E* from, int64_t stride, int steps,
                                   int width, int thread, int threads) {
  constexpr int kEach = kBytes / sizeof(E);
  const int pieces = columns / kEach;
#pragma unroll 1
  for (int i = thread; i < kRows * pieces; i += threads) {
    const int row = i / pieces, column = i % pieces * kEach;
    if (column >= width) continue;
    const bool inside = row < steps;
    copy_piece<kBytes>(tile + row * tile_stride(columns) + column,
                       from + (inside ? row * stride + column : 0), inside);
  }
}

// Copies rows [0, steps) of `width` elements into a tile of kRows rows, by threads `thread`,
// `thread` + `threads`, ...; other rows become zero, other columns stay as they are. Copies of 4
// bytes and more are asynchronous: they join the thread's open group.
template <int kRows, class E>
__device__ inline void load_tile(E* tile, int columns, const E* from, int64_t stride, int steps,
                                 int width, int bytes, int thread, int threads) {
  const auto load = [&](auto piece) {
    load_pieces<kRows, decltype(piece)::value>(tile, columns, from, stride, steps, width, thread,
                                               threads);
  };
  if (bytes == 16) return load(Bytes<16>());
  if (bytes == 8) return load(Bytes<8>());
  if (bytes == 4) return load(Bytes<4>());
  if constexpr (sizeof(E) == 2) load(Bytes<2>());
}

// The contrary: rows [0, steps) of `width` elements from a tile to memory.
template <int kRows, int kBytes, class E>
__device__ inline void store_pieces(const E* tile, int columns, E* to, int64_t stride, int steps,
                                    int width, int thread, int threads) {
  using Piece = std::conditional_t<
      kBytes == 16, uint4,
      std::conditional_t<kBytes == 8, uint2, std::conditional_t<kBytes == 4, uint32_t, E>>>;
  constexpr int kEach = kBytes / sizeof(E);
  const int pieces = columns / kEach;
#pragma unroll 1
  for (int i = thread; i < kRows * pieces; i += threads) {
    const int row = i / pieces, column = i % pieces * kEach;
    if (row >= steps || column >= width) continue;
    *reinterpret_cast<Piece*>(to + row * stride + column) =
        *reinterpret_cast<const Piece*>(tile + row * tile_stride(columns) + column);
  }
}

template <int kRows, class E>
__device__ inline void store_tile(const E* tile, int columns, E* to, int64_t stride, int steps,
                                  int width, int bytes, int thread, int threads) {
  const auto store = [&](auto piece) {
    store_pieces<kRows, decltype(piece)::value>(tile, columns, to, stride, steps, width, thread,
                                                threads);
  };
  if (bytes == 16) return store(Bytes<16>());
  if (bytes == 8) return store(Bytes<8>());
  if (bytes == 4) return store(Bytes<4>());
  if constexpr (sizeof(E) == 2) store(Bytes<2>());
}

// Zero in the columns from `width` on, which load_tile leaves as they are.
template <int kRows, class E>
__device__ inline void clear_columns(E* tile, int columns, int width, int thread, int threads) {
#pragma unroll 1
  for (int i = thread; i < kRows * (columns - width); i += threads) {
    const int row = i / (columns - width), column = width + i % (columns - width);
    tile[row * tile_stride(columns) + column] = static_cast<E>(0.0F);
  }
}

// Elements of x [k][m], transposed, as sums [16, 16]: rows `m` to `m` + 15, columns `k` to
// `k` + 15.
template <class E>
__device__ inline void load_transposed(Sums& left, Sums& right, const Rows<E>& x, int m, int k) {
  const auto a = load_a<K::outer>(x, m, k);
  unpack2<E>(a.r[0], left[0], left[1]);
  unpack2<E>(a.r[1], left[2], left[3]);
  unpack2<E>(a.r[2], right[0], right[1]);
  unpack2<E>(a.r[3], right[2], right[3]);
}
__device__ inline void load_transposed(Sums& left, Sums& right, const Rows<float>& x, int m,
                                       int k) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    left[i] = *x.at(k + sum_column(i), m + sum_row(i));
    right[i] = *x.at(k + 8 + sum_column(i), m + sum_row(i));
  }
}

// ---- Gates ----

// exp(g_i + ... + g_{j+1}) of two steps i >= j of a chunk.
__device__ inline float decay_between(const DeltaRuleGate& i, const DeltaRuleGate& j) {
  return exp2f((i.sum - j.sum) + (i.sum_low - j.sum_low));
}

// exp of the sum of g to this step.
__device__ inline float decay_until(const DeltaRuleGate& i) {
  return exp2f(i.sum + i.sum_low);
}

// ---- Triangles ----

// Blocks of 16 x 16 on and below the diagonal of C x C, numbered row after row.
template <int kC>
struct Triangle {
  static constexpr int kSide = kC / 16, kBlocks = kSide * (kSide + 1) / 2;
  int row, column;

  __device__ explicit Triangle(int block) : row(0), column(block) {
    while (column > row) column -= ++row;
  }
};

// d [16, 8 kTiles] += columns 8 kFirst, ... of a [16, C] L^T, a being sums and L [C, C] lower
// triangular: blocks above its diagonal are not read.
template <class E, int kFirst = 0, int kTiles, int kDepth>
__device__ inline void multiply_add_lower(Sums (&d)[kTiles], const Sums (&a)[kDepth],
                                          const Rows<E>& lower) {
  static_assert(kFirst % 2 == 0 && kTiles % 2 == 0, "tiles are loaded in pairs");
#pragma unroll
  for (int step = 0; step < kFirst + kTiles; step += 2) {
    OperandA<E> x;
    operand_of_sums(x, a[step], a[step + 1]);
#pragma unroll
    for (int tile = step > kFirst ? step - kFirst : 0; tile < kTiles; tile += 2) {
      OperandB<E> y[2];
      load_b_pair<K::inner>(y, lower, step * 8, (kFirst + tile) * 8);
      multiply_add(d[tile], x, y[0]);
      multiply_add(d[tile + 1], x, y[1]);
    }
  }
}

// d += what x lost when it was rounded to an operand; for float32 that is nothing.
template <class E>
__device__ inline void add_remainder(Sums& d_left, Sums& d_right, const Sums& left,
                                     const Sums& right, const OperandA<E>& rounded) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float first, second;
    unpack2<E>(rounded.r[i], first, second);
    const float* x = (i < 2 ? left : right) + i % 2 * 2;
    float* d = (i < 2 ? d_left : d_right) + i % 2 * 2;
    d[0] += x[0] - first;
    d[1] += x[1] - second;
  }
}
__device__ inline void add_remainder(Sums&, Sums&, const Sums&, const Sums&,
                                     const OperandA<float>&) {}

// x [16, C] <- x L^T, L [C, C] being lower triangular with a diagonal of ones: what those take is
// not rounded, so that only the rest of the product is as coarse as E.
template <class E, int kTiles>
__device__ inline void multiply_unit_lower(Sums (&x)[kTiles], const Rows<E>& lower) {
  Sums product[kTiles] = {};
#pragma unroll
  for (int step = 0; step < kTiles; step += 2) {
    OperandA<E> a;
    operand_of_sums(a, x[step], x[step + 1]);
    add_remainder(product[step], product[step + 1], x[step], x[step + 1], a);
#pragma unroll
    for (int tile = step; tile < kTiles; tile += 2) {
      OperandB<E> b[2];
      load_b_pair<K::inner>(b, lower, step * 8, tile * 8);
      multiply_add(product[tile], a, b[0]);
      multiply_add(product[tile + 1], a, b[1]);
    }
  }
#pragma unroll
  for (int i = 0; i < kTiles * 4; ++i) x[i / 4][i % 4] = product[i / 4][i % 4];
}

}  // namespace gamut::cuda
