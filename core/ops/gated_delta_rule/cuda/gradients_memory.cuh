// Which part of the gradients of inputs is a block's, its shared memory and what goes in and out of
// it, and small sums.
#pragma once

#include "cuda/pack.cuh"
#include "ops/gated_delta_rule/cuda/backward.h"
#include "ops/gated_delta_rule/cuda/tiles.cuh"

namespace gamut::cuda {

// ---- Places ----

// Columns of each slice of d_k but the last, which may have fewer.
__host__ __device__ inline int gradients_columns(const DeltaRuleBackward& args) {
  const auto d_k = static_cast<int>(delta_rule_padded(args.shape.d_k));
  return (d_k / 16 + args.plan.slices - 1) / args.plan.slices * 16;
}

struct GradientsPlace {
  int d_k, d_v;  // padded
  int64_t slot, head, part, slice;
  int column, columns, width;  // of d_k: the first, how many with and without padding
  int64_t first_value_head;
  int value_heads;
  Piece chunk;
  bool is_first_slice;
  int64_t all_value_heads;

  __device__ GradientsPlace(const DeltaRuleBackward& args, int c) {
    const auto& shape = args.shape;
    d_k = static_cast<int>(delta_rule_padded(shape.d_k));
    d_v = static_cast<int>(delta_rule_padded(shape.d_v));
    int64_t block = blockIdx.x;
    slice = block % args.plan.slices;
    block /= args.plan.slices;
    part = block % args.plan.parts;
    block /= args.plan.parts;
    head = block % shape.heads;
    slot = block / shape.heads;
    is_first_slice = slice == 0;
    const int each = gradients_columns(args);
    column = static_cast<int>(slice) * each;
    columns = d_k - column < each ? d_k - column : each;
    const int left = static_cast<int>(shape.d_k) - column;
    width = left < columns ? left : columns;
    const int64_t group = shape.value_heads / shape.heads;
    const int64_t heads = (group + args.plan.parts - 1) / args.plan.parts, first = part * heads;
    first_value_head = head * group + first;
    value_heads = static_cast<int>(group - first < heads ? group - first : heads);
    all_value_heads = shape.value_heads;
    chunk = piece_of_slot(shape, c, slot);
  }

  // Of this slot and the i-th value head of the block, in what has an entry for each.
  __device__ int64_t place(int i) const { return slot * all_value_heads + first_value_head + i; }

  // Columns of d_v from `first` on that are in shared memory at a time.
  __device__ int slice_rows(const DeltaRuleBackward& args, int first) const {
    return d_v - first < args.plan.columns ? d_v - first : args.plan.columns;
  }
};

// Where sums go that are complete only over several blocks. What is complete in one goes to its
// place at once.
struct GradientSums {
  float *d_q, *d_k, *d_g, *d_beta;

  __host__ __device__ explicit GradientSums(const DeltaRuleBackward& args) {
    const auto& shape = args.shape;
    const bool has_parts = args.plan.parts > 1, has_slices = args.plan.slices > 1;
    const int64_t keys = shape.steps * shape.heads * shape.d_k * args.plan.parts;
    const int64_t gates = shape.steps * shape.value_heads * args.plan.slices;
    float* const behind = args.sums + (has_parts ? 2 * keys : 0);
    d_q = args.sums;
    d_k = args.sums + (has_parts ? keys : 0);
    d_g = has_slices ? behind : args.d_g;
    d_beta = has_slices ? behind + gates : args.d_beta;
  }
};

// ---- Shared memory ----

// Some columns of d_v of a value head; but for dO [C, columns] all are transposed, a row a column
// of d_v.
template <class E>
struct GradientsStage {
  E *d_o, *z, *errors, *state, *d_state;
};

struct RowFactors {
  float decay, beta, left;  // e, beta, rho
};
struct RowSums {
  float reads, written, strength;
};
struct BlockSums {
  float whole, skip;
};

template <class E, int kC>
struct GradientsMemory {
  static constexpr int kThreads = kC * 4, kWarps = kThreads / kWarp;
  // Q K^T and K K^T, two elements a place of the square; later dP and diag(beta) dX.
  static constexpr int kProducts = 2 * kC * tile_stride(kC);

  int columns, values;  // of a slice of d_k, and of d_v at a time
  E *q, *k;
  GradientsStage<E> first;
  float* products;
  DeltaRuleGate* gates;  // of two value heads
  RowFactors* factors;
  RowSums* row_sums;  // of two halves
  float *strengths, *row_totals, *column_sums;
  BlockSums* block_sums;

  static size_t bytes(const DeltaRuleBackward& args) {
    const int columns = gradients_columns(args), values = args.plan.columns, n = args.plan.stages;
    SharedSize size;
    size.add<E>(kC * tile_stride(columns)).template add<E>(kC * tile_stride(columns));
    size.add<E>(n * kC * tile_stride(values));
    for (int i = 0; i < 2; ++i) size.add<E>(n * values * tile_stride(kC));
    for (int i = 0; i < 2; ++i) size.add<E>(n * values * tile_stride(columns));
    size.add<float>(kProducts).template add<DeltaRuleGate>(2 * kC).template add<RowFactors>(kC);
    size.add<RowSums>(2 * kC).template add<float>(kC).template add<float>(kC);
    return size.add<float>(kC / 16 * kC).template add<BlockSums>(kWarps).bytes();
  }

  // `columns_of_block` may be fewer than the host counted with.
  __device__ GradientsMemory(int columns_of_block, const DeltaRuleBackwardPlan& plan)
      : columns(columns_of_block), values(plan.columns) {
    SharedMemory shared;
    const int n = plan.stages;
    q = shared.take<E>(kC * tile_stride(columns));
    k = shared.take<E>(kC * tile_stride(columns));
    first.d_o = shared.take<E>(n * kC * tile_stride(values));
    first.z = shared.take<E>(n * values * tile_stride(kC));
    first.errors = shared.take<E>(n * values * tile_stride(kC));
    first.state = shared.take<E>(n * values * tile_stride(columns));
    first.d_state = shared.take<E>(n * values * tile_stride(columns));
    products = shared.take<float>(kProducts);
    gates = shared.take<DeltaRuleGate>(2 * kC);
    factors = shared.take<RowFactors>(kC);
    row_sums = shared.take<RowSums>(2 * kC);
    strengths = shared.take<float>(kC);
    row_totals = shared.take<float>(kC);
    column_sums = shared.take<float>(kC / 16 * kC);
    block_sums = shared.take<BlockSums>(kWarps);
  }

  __device__ GradientsStage<E> stage(int i) const {
    const int square = i * values * tile_stride(kC), keys = i * values * tile_stride(columns);
    return {first.d_o + i * kC * tile_stride(values), first.z + square, first.errors + square,
            first.state + keys, first.d_state + keys};
  }
};

// ---- Loads and stores ----

// Some rows of a matrix whose rows begin and end at 16-byte addresses.
template <int kThreads, class E>
__device__ inline void load_matrix(E* tile, int columns, const E* from, int64_t stride, int rows) {
  constexpr int kVector = 16 / sizeof(E);
  const int pieces = columns / kVector;
  for (int i = static_cast<int>(threadIdx.x); i < rows * pieces; i += kThreads) {
    const int row = i / pieces, column = i % pieces * kVector;
    copy_async16(tile + row * tile_stride(columns) + column, from + row * stride + column);
  }
}

// The warp's sums, rows from `first` and `columns` columns from `from_column` of the block's slice,
// to a tensor [steps, heads, d_k].
template <int kTiles, class T>
__device__ inline void store_sums_of_keys(const Sums (&x)[kTiles], T* to,
                                          const DeltaRuleShape& shape, const GradientsPlace& at,
                                          int first, int from_column, int columns) {
  const bool is_even = shape.d_k % 2 == 0;
#pragma unroll
  for (int side = 0; side < 2; ++side) {
    const int step = first + sum_row(2 * side);
    if (step >= at.chunk.steps) continue;
    T* const row = to + ((at.chunk.first + step) * shape.heads + at.head) * shape.d_k + at.column +
                   from_column;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const int column = tile * 8 + sum_column(0), left = at.width - from_column - column;
      if (column >= columns || left <= 0) continue;
      const float pair[2] = {x[tile][2 * side], x[tile][2 * side + 1]};
      if (is_even) {
        store_pack<2>(row + column, pair);
      } else {
        row[column] = from_float<T>(pair[0]);
        if (left > 1) row[column + 1] = from_float<T>(pair[1]);
      }
    }
  }
}

// ---- Sums ----

// Over groups of kLanes lanes; all of them get it.
template <int kLanes>
__device__ inline float sum_of_lanes(float x) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    x += __shfl_xor_sync(0xffffffff, x, distance);
  }
  return x;
}

// Over the lanes that share the rows of sums.
__device__ inline float sum_of_quad(float x) {
  return sum_of_lanes<4>(x);
}

// Over all lanes behind, and before, this one.
__device__ inline float sum_of_lanes_after(float x) {
  float sum = x;
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const float other = __shfl_down_sync(0xffffffff, sum, distance);
    if (lane_index() + distance < kWarp) sum += other;
  }
  const float after = __shfl_down_sync(0xffffffff, sum, 1);
  return lane_index() + 1 < kWarp ? after : 0.0F;
}
__device__ inline float sum_of_lanes_before(float x) {
  float sum = x;
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const float other = __shfl_up_sync(0xffffffff, sum, distance);
    if (lane_index() >= distance) sum += other;
  }
  const float before = __shfl_up_sync(0xffffffff, sum, 1);
  return lane_index() > 0 ? before : 0.0F;
}

}  // namespace gamut::cuda
