// What of a scan is a warp's, and its states between memory and registers.
#pragma once

#include "ops/gated_delta_rule/cuda/scan.h"
#include "ops/gated_delta_rule/cuda/tiles.cuh"

namespace gamut::cuda {

constexpr int kSlice = 16;  // columns of d_v that a warp has

// What of the work is this block's and this warp's.
struct ScanPlace {
  int64_t part;
  int head, key_head;
  Piece piece;
  int slot;                  // of the piece's first chunk
  int column;                // the warp's first, of padded d_v; below 0: it has none
  bool is_value, is_matrix;  // the columns are those of S, or of the run's matrix

  __device__ ScanPlace(const ScanCall& call, int chunk) {
    const auto& shape = call.args.shape;
    part = blockIdx.x / call.slices / shape.value_heads;
    head = static_cast<int>(blockIdx.x / call.slices % shape.value_heads);
    key_head = head / static_cast<int>(shape.value_heads / shape.heads);
    if (call.pass == ScanPass::whole) {
      const int64_t begin = sequence_begin(shape, part);
      piece = {part, 0, begin, sequence_begin(shape, part + 1) - begin, true};
    } else {
      piece = piece_of_slot(shape, call.args.plan.run * chunk, part);
    }
    slot = static_cast<int>(first_slot(shape, chunk, piece.sequence) +
                            piece.index * call.args.plan.run);
    const auto values = static_cast<int>(delta_rule_padded(shape.d_v));
    const int warps = static_cast<int>(blockDim.x) / kWarp;
    column = (static_cast<int>(blockIdx.x % call.slices) * warps + warp_index()) * kSlice;
    is_value = column < values;
    // The first run's state is known: what leaves it needs no matrix.
    is_matrix = call.pass == ScanPass::probe && !is_value && piece.index > 0 &&
                column - values < delta_rule_padded(shape.d_k);
    if (!is_value && !is_matrix) column = -1;
  }

  __device__ bool is_idle(const ScanCall& call) const {
    return piece.index < 0 || (call.pass == ScanPass::probe && piece.is_last);
  }
};

// ---- States ----

template <class E>
__device__ inline void store2(E* to, float first, float second) {
  *reinterpret_cast<uint32_t*>(to) = pack2<E>(first, second);
}
template <>
__device__ inline void store2<float>(float* to, float first, float second) {
  *reinterpret_cast<float2*>(to) = {first, second};
}

// Sums [16, 8 kTiles] as rows of memory; columns from `columns` on are left out.
template <class E, int kTiles>
__device__ inline void store_rows(const Sums (&x)[kTiles], E* to, int64_t stride, int columns) {
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const int column = tile * 8 + sum_column(0);
    if (column >= columns) continue;
    store2<E>(to + sum_row(0) * stride + column, x[tile][0], x[tile][1]);
    store2<E>(to + sum_row(2) * stride + column, x[tile][2], x[tile][3]);
  }
}

// A state in memory: element (k, v) lies at data[k * k_stride + v * v_stride].
template <class T>
struct StateView {
  T* data;
  int64_t k_stride, v_stride;

  // That of the lane's elements of a tile of sums, rows being v from `v` on.
  __device__ T* lane(int v) const {
    return data + (v + sum_row(0)) * v_stride + sum_column(0) * k_stride;
  }
};

// The place's state among those of all sequences, [d_k, d_v] or [d_v, d_k].
template <class T>
__device__ inline StateView<T> state_of_sequence(T* states, const DeltaRuleShape& shape,
                                                 const ScanPlace& at) {
  const int64_t index = at.piece.sequence * shape.value_heads + at.head;
  T* data = states + index * shape.d_k * shape.d_v;
  return shape.value_first ? StateView<T>{data, 1, shape.d_k} : StateView<T>{data, shape.d_v, 1};
}

// What a part leaves in memory between the passes: columns of S, then of the matrix.
__device__ inline StateView<float> state_of_run(float* runs, const DeltaRuleShape& shape,
                                                int64_t part, int64_t head) {
  const int64_t keys = delta_rule_padded(shape.d_k), columns = delta_rule_padded(shape.d_v) + keys;
  return {runs + (part * shape.value_heads + head) * columns * keys, 1, keys};
}

// Zero where nothing lies.
template <int kTiles>
__device__ inline void load_state(Sums (&state)[kTiles], const StateView<const float>& from, int v,
                                  const DeltaRuleShape& shape) {
  const float* lane = from.lane(v);
  const int rows = static_cast<int>(shape.d_v) - v, columns = static_cast<int>(shape.d_k);
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool inside = sum_row(i) < rows && tile * 8 + sum_column(i) < columns;
      state[tile][i] = inside ? lane[i / 2 * 8 * from.v_stride + i % 2 * from.k_stride] : 0.0F;
    }
    lane += 8 * from.k_stride;
  }
}

template <int kTiles>
__device__ inline void store_state(const Sums (&state)[kTiles], const StateView<float>& to, int v,
                                   const DeltaRuleShape& shape) {
  float* lane = to.lane(v);
  const int rows = static_cast<int>(shape.d_v) - v, columns = static_cast<int>(shape.d_k);
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool inside = sum_row(i) < rows && tile * 8 + sum_column(i) < columns;
      if (inside) lane[i / 2 * 8 * to.v_stride + i % 2 * to.k_stride] = state[tile][i];
    }
    lane += 8 * to.k_stride;
  }
}

// The state that enters the place's piece, as far as this pass knows it; of a matrix, the unit.
template <int kTiles>
__device__ inline void begin_state(Sums (&state)[kTiles], const ScanCall& call,
                                   const ScanPlace& at) {
  const auto& shape = call.args.shape;
  const bool is_first = at.piece.index == 0;
  if (at.is_matrix) {
    const int column = at.column - static_cast<int>(delta_rule_padded(shape.d_v));
#pragma unroll
    for (int i = 0; i < kTiles * 4; ++i) {
      const int k = i / 4 * 8 + sum_column(i % 4);
      state[i / 4][i % 4] = column + sum_row(i % 4) == k ? 1.0F : 0.0F;
    }
    return;
  }
  StateView<const float> from{nullptr, 0, 0};
  if (is_first && call.args.initial_state) {
    from = state_of_sequence(call.args.initial_state, shape, at);
  } else if (!is_first && call.pass == ScanPass::runs) {
    const auto run = state_of_run(call.args.runs, shape, at.part - 1, at.head);
    from = {run.data, run.k_stride, run.v_stride};
  }
  if (from.data && at.column >= 0) return load_state(state, from, at.column, shape);
#pragma unroll
  for (int i = 0; i < kTiles * 4; ++i) state[i / 4][i % 4] = 0;
}

// The state that leaves the piece, for the next pass or for the caller.
template <int kTiles>
__device__ inline void end_state(const Sums (&state)[kTiles], const ScanCall& call,
                                 const ScanPlace& at) {
  const auto& args = call.args;
  if (call.pass == ScanPass::probe) {
    const auto to = state_of_run(args.runs, args.shape, at.part, at.head);
    const auto keys = static_cast<int>(delta_rule_padded(args.shape.d_k));
    store_rows<float>(state, to.data + at.column * to.v_stride, keys, keys);
  } else if (args.final_state && at.piece.is_last && at.is_value) {
    store_state(state, state_of_sequence(args.final_state, args.shape, at), at.column, args.shape);
  }
}

}  // namespace gamut::cuda
