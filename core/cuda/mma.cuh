// Products of small matrices by one warp: operands in shared memory or in registers, float32 sums
// in registers.
//
// A step is d [16, 8] += a [16, 16] b [16, 8]. bfloat16 and float16 take one instruction; float32
// takes six, each number being the sum of two of tf32 (products of the two small parts, 2^-22 of
// the result, are left out).
//
// The sums of one product are an operand of the next without leaving the registers: two
// neighbouring tiles of d are an `a` (operand_of_sums). So a chain X -> X M1 -> (X M1) M2 needs no
// shared memory for X; where M is on the left, take the transposed chain.
#pragma once

#include "cuda/device.cuh"

namespace gamut::cuda {

constexpr int kWarp = 32;  // lanes

__device__ inline int lane_index() {
  return static_cast<int>(threadIdx.x) % kWarp;
}
__device__ inline int warp_index() {
  return static_cast<int>(threadIdx.x) / kWarp;
}

// A tile of sums, 16 x 8: element i of a lane is (sum_row(i), sum_column(i)).
using Sums = float[4];
__device__ inline int sum_row(int i) {
  return lane_index() / 4 + i / 2 * 8;
}
__device__ inline int sum_column(int i) {
  return lane_index() % 4 * 2 + i % 2;
}

// How an operand lies in shared memory: the index that is summed over, k, runs along the rows of
// memory (inner: a as [m][k], b as [n][k]) or across them (outer: a as [k][m], b as [k][n]).
enum class K { inner, outer };

// Rows of shared memory. Rows of 16-bit elements begin at 16-byte addresses; a stride that is 8
// more than a multiple of 64 elements (4 more than one of 32 for float) keeps loads free of bank
// conflicts.
template <class T>
struct Rows {
  const T* data;
  int stride;  // elements

  __device__ const T* at(int row, int column) const { return data + row * stride + column; }
};

template <class T>
struct OperandA {
  uint32_t r[4];
};
template <class T>
struct OperandB {
  uint32_t r[2];
};

// Two numbers of tf32 whose sum is x but for 2^-22 of it.
struct Split {
  uint32_t big, small;

  __device__ explicit Split(float x) {
    big = to_tf32(x);
    small = to_tf32(x - __uint_as_float(big));
  }
  __device__ Split() {}
};

// Two steps of depth 8. Slot t of a step holds k = 2 t, slot t + 4 holds 2 t + 1, in a as in b:
// sums do not mind, and it is the order in which a lane holds its sums.
template <>
struct OperandA<float> {
  Split r[2][4];
};
template <>
struct OperandB<float> {
  Split r[2][2];
};

// The 16 x 16 block of a that begins at row `m` and depth `k`.
template <K kOrder, class T>
__device__ inline OperandA<T> load_a(const Rows<T>& a, int m, int k) {
  const int matrix = lane_index() / 8, row = lane_index() % 8;
  OperandA<T> x;
  if (kOrder == K::inner) {
    ldmatrix_x4(x.r, a.at(m + matrix % 2 * 8 + row, k + matrix / 2 * 8));
  } else {
    ldmatrix_x4_trans(x.r, a.at(k + matrix / 2 * 8 + row, m + matrix % 2 * 8));
  }
  return x;
}

// The 16 x 8 block of b that begins at depth `k` and column `n`.
template <K kOrder, class T>
__device__ inline OperandB<T> load_b(const Rows<T>& b, int k, int n) {
  const int matrix = lane_index() / 8 % 2, row = lane_index() % 8;
  OperandB<T> x;
  if (kOrder == K::inner) {
    ldmatrix_x2(x.r, b.at(n + row, k + matrix * 8));
  } else {
    ldmatrix_x2_trans(x.r, b.at(k + matrix * 8 + row, n));
  }
  return x;
}

// Two neighbouring blocks of b at once: columns n to n + 15.
template <K kOrder, class T>
__device__ inline void load_b_pair(OperandB<T> (&x)[2], const Rows<T>& b, int k, int n) {
  const int matrix = lane_index() / 8, row = lane_index() % 8;
  uint32_t r[4];
  if (kOrder == K::inner) {
    ldmatrix_x4(r, b.at(n + matrix / 2 * 8 + row, k + matrix % 2 * 8));
  } else {
    ldmatrix_x4_trans(r, b.at(k + matrix % 2 * 8 + row, n + matrix / 2 * 8));
  }
  x[0].r[0] = r[0], x[0].r[1] = r[1];
  x[1].r[0] = r[2], x[1].r[1] = r[3];
}

template <K kOrder>
__device__ inline float element(const Rows<float>& x, int outer, int k) {
  return kOrder == K::inner ? *x.at(outer, k) : *x.at(k, outer);
}

template <K kOrder>
__device__ inline OperandA<float> load_a(const Rows<float>& a, int m, int k) {
  const int row = m + lane_index() / 4, depth = k + lane_index() % 4 * 2;
  OperandA<float> x;
#pragma unroll
  for (int step = 0; step < 2; ++step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      x.r[step][i] = Split(element<kOrder>(a, row + i % 2 * 8, depth + step * 8 + i / 2));
    }
  }
  return x;
}

template <K kOrder>
__device__ inline OperandB<float> load_b(const Rows<float>& b, int k, int n) {
  const int column = n + lane_index() / 4, depth = k + lane_index() % 4 * 2;
  OperandB<float> x;
#pragma unroll
  for (int step = 0; step < 2; ++step) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      x.r[step][i] = Split(element<kOrder>(b, column, depth + step * 8 + i));
    }
  }
  return x;
}

template <K kOrder>
__device__ inline void load_b_pair(OperandB<float> (&x)[2], const Rows<float>& b, int k, int n) {
  x[0] = load_b<kOrder>(b, k, n);
  x[1] = load_b<kOrder>(b, k, n + 8);
}

// Tiles of sums (columns 0 to 7 and 8 to 15 of a 16 x 16 block), rounded to T, as an operand.
template <class T>
__device__ inline void operand_of_sums(OperandA<T>& a, const Sums& left, const Sums& right) {
  a.r[0] = pack2<T>(left[0], left[1]);
  a.r[1] = pack2<T>(left[2], left[3]);
  a.r[2] = pack2<T>(right[0], right[1]);
  a.r[3] = pack2<T>(right[2], right[3]);
}
__device__ inline void operand_of_sums(OperandA<float>& a, const Sums& left, const Sums& right) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int from = i % 2 * 2 + i / 2;
    a.r[0][i] = Split(left[from]);
    a.r[1][i] = Split(right[from]);
  }
}

__device__ inline void multiply_add(Sums& d, const OperandA<__nv_bfloat16>& a,
                                    const OperandB<__nv_bfloat16>& b) {
  mma_bf16(d, a.r, b.r);
}
__device__ inline void multiply_add(Sums& d, const OperandA<__half>& a, const OperandB<__half>& b) {
  mma_f16(d, a.r, b.r);
}
__device__ inline void multiply_add(Sums& d, const OperandA<float>& a, const OperandB<float>& b) {
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    const auto& x = a.r[step];
    const auto& y = b.r[step];
    const uint32_t a_big[4] = {x[0].big, x[1].big, x[2].big, x[3].big};
    const uint32_t a_small[4] = {x[0].small, x[1].small, x[2].small, x[3].small};
    const uint32_t b_big[2] = {y[0].big, y[1].big}, b_small[2] = {y[0].small, y[1].small};
    mma_tf32(d, a_small, b_big);
    mma_tf32(d, a_big, b_small);
    mma_tf32(d, a_big, b_big);
  }
}

// d [16, 8 kTiles] += a [16, depth] b [depth, 8 kTiles], a from row `m`, b from column `n`; depth
// is a multiple of 16, kTiles even.
template <K kOrderA, K kOrderB, int kTiles, class T>
__device__ inline void multiply_add(Sums (&d)[kTiles], const Rows<T>& a, int m, const Rows<T>& b,
                                    int n, int depth) {
  static_assert(kTiles % 2 == 0, "tiles are loaded in pairs");
  for (int k = 0; k < depth; k += 16) {
    const auto x = load_a<kOrderA>(a, m, k);
#pragma unroll
    for (int tile = 0; tile < kTiles; tile += 2) {
      OperandB<T> y[2];
      load_b_pair<kOrderB>(y, b, k, n + tile * 8);
      multiply_add(d[tile], x, y[0]);
      multiply_add(d[tile + 1], x, y[1]);
    }
  }
}

// The same with a in registers: kDepth / 2 operands made of the kDepth tiles of earlier sums.
template <K kOrderB, class T, int kTiles, int kDepth>
__device__ inline void multiply_add(Sums (&d)[kTiles], const Sums (&a)[kDepth], const Rows<T>& b,
                                    int n, int k = 0) {
  static_assert(kTiles % 2 == 0 && kDepth % 2 == 0, "tiles are loaded in pairs");
#pragma unroll
  for (int step = 0; step < kDepth; step += 2) {
    OperandA<T> x;
    operand_of_sums(x, a[step], a[step + 1]);
#pragma unroll
    for (int tile = 0; tile < kTiles; tile += 2) {
      OperandB<T> y[2];
      load_b_pair<kOrderB>(y, b, k + step * 8, n + tile * 8);
      multiply_add(d[tile], x, y[0]);
      multiply_add(d[tile + 1], x, y[1]);
    }
  }
}

}  // namespace gamut::cuda
