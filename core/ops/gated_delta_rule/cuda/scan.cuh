// The recurrence over chunks: V', outputs, states. A block of threads is a sequence (or a run of
// its chunks), a value head and a slice of d_v; each of its warps has 16 columns of d_v, whose
// states stay in its registers from the first chunk to the last.
//
// Products are those of README.md transposed, S^T [16, d_k] being the left operand:
//   V'^T = (beta (V^T - S^T K^T e)) T^T,  O^T = scale (S^T Q^T e + V'^T P^T),
//   S^T <- exp(G_C) S^T + (V'^T rho) K
// so that sums of one are operands of the next without leaving registers, and warps meet only where
// they load q, k and T together and share P.
#pragma once

#include "ops/gated_delta_rule/cuda/scan.h"
#include "ops/gated_delta_rule/cuda/tiles.cuh"

namespace gamut::cuda {

// What scales a step's row in the products.
struct ScanFactors {
  float beta, beta_decayed;  // beta, beta e
  float read;                // scale e
  float left;                // rho
};

constexpr int kSlice = 16;  // columns of d_v that a warp has

// The inputs of a chunk in shared memory.
template <class E, int kC, int kKeys>
struct ScanStage {
  E *q, *k;    // [C, kKeys]
  E* inverse;  // [C, C]
  E* v;        // [C, 16] of this warp; later its outputs
  DeltaRuleGate* gates;
};

template <class E, int kC, int kKeys>
struct ScanTiles {
  using Stage = ScanStage<E, kC, kKeys>;
  static constexpr int kKeysSize = kC * tile_stride(kKeys), kSquareSize = kC * tile_stride(kC),
                       kSliceSize = kC * tile_stride(kSlice);
  Stage first;  // of two
  int warps;
  E* scores;  // [C, C]: scale P
  ScanFactors* factors;

  __device__ ScanTiles(SharedMemory& shared, int warps) : warps(warps) {
    first.q = shared.take<E>(2 * kKeysSize);
    first.k = shared.take<E>(2 * kKeysSize);
    first.inverse = shared.take<E>(2 * kSquareSize);
    first.v = shared.take<E>(2 * warps * kSliceSize) + warp_index() * kSliceSize;
    first.gates = shared.take<DeltaRuleGate>(2 * kC);
    scores = shared.take<E>(kSquareSize);
    factors = shared.take<ScanFactors>(kC);
  }

  static size_t bytes(int warps) {
    SharedSize size;
    size.add<E>(2 * kKeysSize).template add<E>(2 * kKeysSize).template add<E>(2 * kSquareSize);
    size.add<E>(2 * warps * kSliceSize).template add<DeltaRuleGate>(2 * kC);
    return size.add<E>(kSquareSize).template add<ScanFactors>(kC).bytes();
  }

  __device__ Stage stage(int chunk) const {
    const int i = chunk % 2;
    return {first.q + i * kKeysSize, first.k + i * kKeysSize, first.inverse + i * kSquareSize,
            first.v + i * warps * kSliceSize, first.gates + i * kC};
  }
};

// What of the work is this block's and this warp's.
struct ScanPlace {
  int64_t part, head, key_head;
  Piece piece;
  int64_t slot;              // of the piece's first chunk
  int column;                // the warp's first, of padded d_v
  bool is_value, is_matrix;  // the columns are those of S, or of the run's matrix

  __device__ ScanPlace(const ScanCall& call, int chunk) {
    const auto& shape = call.args.shape;
    part = blockIdx.x / call.slices / shape.value_heads;
    head = blockIdx.x / call.slices % shape.value_heads;
    key_head = head / (shape.value_heads / shape.heads);
    if (call.pass == ScanPass::whole) {
      const int64_t begin = sequence_begin(shape, part);
      piece = {part, 0, begin, sequence_begin(shape, part + 1) - begin, true};
    } else {
      piece = piece_of_slot(shape, call.args.plan.run * chunk, part);
    }
    slot = first_slot(shape, chunk, piece.sequence) + piece.index * call.args.plan.run;
    const auto values = static_cast<int>(delta_rule_padded(shape.d_v));
    const int warps = static_cast<int>(blockDim.x) / kWarp;
    column = (static_cast<int>(blockIdx.x % call.slices) * warps + warp_index()) * kSlice;
    is_value = column < values;
    // The first run's state is known: what leaves it needs no matrix.
    is_matrix = call.pass == ScanPass::probe && !is_value && piece.index > 0 &&
                column - values < delta_rule_padded(shape.d_k);
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
  if (from.data) return load_state(state, from, at.column, shape);
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

// ---- A chunk ----

// The chunk's steps, counted in the piece.
struct ScanChunk {
  int64_t first, slot;
  int steps;

  __device__ ScanChunk(const ScanPlace& at, int chunk, int index)
      : first(at.piece.first + int64_t{index} * chunk), slot(at.slot + index) {
    const int64_t left = at.piece.steps - int64_t{index} * chunk;
    steps = left < chunk ? static_cast<int>(left) : chunk;
  }
};

// Begins to load a chunk.
template <class E, int kC, int kKeys>
__device__ inline void load_chunk(const ScanStage<E, kC, kKeys>& stage, const ScanCall& call,
                                  const ScanPlace& at, const ScanChunk& chunk) {
  const auto& args = call.args;
  const auto& shape = args.shape;
  const int thread = threadIdx.x, threads = blockDim.x, d_k = static_cast<int>(shape.d_k);
  load_tile<kC>(stage.k, kKeys, row_of<E>(args.k, chunk.first, at.key_head), args.k.step_stride,
                chunk.steps, d_k, call.k_aligned, thread, threads);
  if (args.output) {
    load_tile<kC>(stage.q, kKeys, row_of<E>(args.q, chunk.first, at.key_head), args.q.step_stride,
                  chunk.steps, d_k, call.q_aligned, thread, threads);
  }
  const int64_t place = chunk.slot * shape.value_heads + at.head;
  if (shape.solve) {
    constexpr int kVector = 16 / sizeof(E), kVectors = kC / kVector;
    const E* inverse = static_cast<const E*>(args.inverse) + place * kC * kC;
#pragma unroll 1
    for (int i = thread; i < kC * kVectors; i += threads) {
      const int row = i / kVectors, column = i % kVectors * kVector;
      if (column / 16 > row / 16) continue;
      copy_async16(stage.inverse + row * tile_stride(kC) + column, inverse + row * kC + column);
    }
  }
#pragma unroll 1
  for (int i = thread; i < kC; i += threads) {
    copy_async16(stage.gates + i, args.gates + place * kC + i);
  }
  if (at.is_value) {
    const int left = static_cast<int>(shape.d_v) - at.column;
    load_tile<kC>(stage.v, kSlice, row_of<E>(args.v, chunk.first, at.head) + at.column,
                  args.v.step_stride, chunk.steps, left < kSlice ? left : kSlice, call.v_aligned,
                  lane_index(), kWarp);
  }
  copy_async_commit();
}

// Zeros where nothing is ever loaded.
template <class E, int kC, int kKeys>
__device__ inline void clear_padding(const ScanStage<E, kC, kKeys>& stage, const ScanCall& call,
                                     const ScanPlace& at) {
  const auto& shape = call.args.shape;
  const int thread = threadIdx.x, threads = blockDim.x, d_k = static_cast<int>(shape.d_k);
  clear_columns<kC>(stage.k, kKeys, d_k, thread, threads);
  clear_columns<kC>(stage.q, kKeys, d_k, thread, threads);
  const int left = static_cast<int>(shape.d_v) - at.column;
  if (!at.is_value || left >= kSlice) return;
  clear_columns<kC>(stage.v, kSlice, left, lane_index(), kWarp);
}

// scale tril(Q K^T . Gam), its blocks shared among all warps.
template <class E, int kC, int kKeys>
__device__ inline void score(const ScanStage<E, kC, kKeys>& stage, float scale, E* scores) {
  const auto q = rows_of_tile(stage.q, kKeys), k = rows_of_tile(stage.k, kKeys);
  const int warps = static_cast<int>(blockDim.x) / kWarp;
#pragma unroll 1
  for (int block = warp_index(); block < Triangle<kC>::kBlocks; block += warps) {
    const Triangle<kC> at(block);
    Sums sums[2] = {};
    multiply_add<K::inner, K::inner>(sums, q, at.row * 16, k, at.column * 16, kKeys);
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
      const int column = at.column * 16 + tile * 8 + sum_column(0);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = at.row * 16 + sum_row(i), j = column + i % 2;
        sums[tile][i] *= j <= row ? scale * decay_between(stage.gates[row], stage.gates[j]) : 0.0F;
      }
      E* to = scores + (at.row * 16 + sum_row(0)) * tile_stride(kC) + column;
      store2<E>(to, sums[tile][0], sums[tile][1]);
      store2<E>(to + 8 * tile_stride(kC), sums[tile][2], sums[tile][3]);
    }
  }
}

__device__ inline ScanFactors factors_of(const DeltaRuleGate& gate, float scale) {
  const float decay = decay_until(gate);
  return {gate.beta, gate.beta * decay, scale * decay, gate.left};
}

// errors^T = beta (V^T - e errors^T): what the solve makes V' of. Without values V is zero.
template <class E, int kTiles>
__device__ inline void subtract_from_values(Sums (&errors)[kTiles], const Rows<E>& v, bool is_value,
                                            const ScanFactors* factors) {
#pragma unroll
  for (int tile = 0; tile < kTiles; tile += 2) {
    Sums values[2] = {};
    if (is_value) load_transposed(values[0], values[1], v, 0, tile * 8);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const ScanFactors& f = factors[tile * 8 + i / 4 * 8 + sum_column(i % 4)];
      float& error = errors[tile + i / 4][i % 4];
      error = f.beta * values[i / 4][i % 4] - f.beta_decayed * error;
    }
  }
}

// Rows [0, steps) of the outputs, by way of the warp's tile of values.
template <class E, int kC, int kTiles>
__device__ inline void store_output(const Sums (&output)[kTiles], E* tile, const ScanCall& call,
                                    const ScanPlace& at, const ScanChunk& chunk) {
  const auto& shape = call.args.shape;
  constexpr int kStride = tile_stride(kSlice);
  __syncwarp();  // the values have been read
#pragma unroll
  for (int i = 0; i < kTiles * 4; ++i) {
    tile[(i / 4 * 8 + sum_column(i % 4)) * kStride + sum_row(i % 4)] =
        static_cast<E>(output[i / 4][i % 4]);
  }
  __syncwarp();
  const int64_t step = shape.value_heads * shape.d_v;
  E* to = static_cast<E*>(call.args.output) + chunk.first * step + at.head * shape.d_v + at.column;
  const int left = static_cast<int>(shape.d_v) - at.column;
  const int each = call.output_aligned ? 16 / static_cast<int>(sizeof(E)) : 1;
#pragma unroll 1
  for (int i = lane_index(); i < chunk.steps * (kSlice / each); i += kWarp) {
    const int row = i / (kSlice / each), column = i % (kSlice / each) * each;
    if (column >= left) continue;
    const E* from = tile + row * kStride + column;
    if (call.output_aligned) {
      *reinterpret_cast<uint4*>(to + row * step + column) = *reinterpret_cast<const uint4*>(from);
    } else {
      to[row * step + column] = *from;
    }
  }
}

// O^T of the warp's columns, from the entering state and V'.
template <class E, int kC, int kKeys>
__device__ inline void read_state(const Sums (&state)[kKeys / 8], const Sums (&errors)[kC / 8],
                                  const ScanTiles<E, kC, kKeys>& tiles,
                                  const ScanStage<E, kC, kKeys>& stage, const ScanCall& call,
                                  const ScanPlace& at, const ScanChunk& chunk) {
  Sums output[kC / 8] = {};
  multiply_add<K::inner, E>(output, state, rows_of_tile(stage.q, kKeys), 0);
#pragma unroll
  for (int i = 0; i < kC / 8 * 4; ++i) {
    output[i / 4][i % 4] *= tiles.factors[i / 4 * 8 + sum_column(i % 4)].read;
  }
  multiply_add_lower<E>(output, errors, rows_of_tile(tiles.scores, kC));
  if (call.args.skip) {
    const float skip = call.args.skip[at.head];
#pragma unroll
    for (int i = 0; i < kC / 8; i += 2) {
      Sums values[2];
      load_transposed(values[0], values[1], rows_of_tile(stage.v, kSlice), 0, i * 8);
#pragma unroll
      for (int j = 0; j < 8; ++j) output[i + j / 4][j % 4] += skip * values[j / 4][j % 4];
    }
  }
  store_output<E, kC>(output, stage.v, call, at, chunk);
}

// What a warp does with a chunk once P and the factors are there; `errors` comes as S^T K^T.
template <class E, int kC, int kKeys>
__device__ inline void advance(Sums (&state)[kKeys / 8], Sums (&errors)[kC / 8],
                               const ScanTiles<E, kC, kKeys>& tiles,
                               const ScanStage<E, kC, kKeys>& stage, const ScanCall& call,
                               const ScanPlace& at, const ScanChunk& chunk) {
  const auto& args = call.args;
  subtract_from_values(errors, rows_of_tile(stage.v, kSlice), at.is_value, tiles.factors);
  if (args.shape.solve) {
    Sums solved[kC / 8] = {};
    multiply_add_lower<E>(solved, errors, rows_of_tile(stage.inverse, kC));
#pragma unroll
    for (int i = 0; i < kC / 8 * 4; ++i) errors[i / 4][i % 4] = solved[i / 4][i % 4];
  }
  const int64_t place =
      (chunk.slot * args.shape.value_heads + at.head) * delta_rule_padded(args.shape.d_v) +
      at.column;
  if (args.errors && at.is_value) {
    store_rows<E>(errors, static_cast<E*>(args.errors) + place * kC, kC, kC);
  }
  if (args.states && at.is_value) {
    const auto keys = static_cast<int>(delta_rule_padded(args.shape.d_k));
    store_rows<E>(state, static_cast<E*>(args.states) + place * keys, keys, keys);
  }
  if (args.output && at.is_value) {
    read_state(state, errors, tiles, stage, call, at, chunk);
  }
#pragma unroll
  for (int i = 0; i < kC / 8 * 4; ++i) {
    errors[i / 4][i % 4] *= tiles.factors[i / 4 * 8 + sum_column(i % 4)].left;
  }
  const float decay = decay_until(stage.gates[kC - 1]);
#pragma unroll
  for (int i = 0; i < kKeys / 8 * 4; ++i) state[i / 4][i % 4] *= decay;
  multiply_add<K::outer, E>(state, errors, rows_of_tile(stage.k, kKeys), 0);
}

template <class E, int kC, int kKeys>
__global__ void __launch_bounds__(kScanMaxWarps* kWarp)
    delta_rule_scan_kernel(const ScanCall call) {
  const ScanPlace at(call, kC);
  if (at.is_idle(call)) return;
  SharedMemory shared;
  const ScanTiles<E, kC, kKeys> tiles(shared, static_cast<int>(blockDim.x) / kWarp);
  const bool is_active = at.is_value || at.is_matrix;
  const int chunks = (at.piece.steps + kC - 1) / kC;
  clear_padding(tiles.stage(0), call, at);
  clear_padding(tiles.stage(1), call, at);
  if (chunks > 0) load_chunk(tiles.stage(0), call, at, ScanChunk(at, kC, 0));
  Sums state[kKeys / 8];
  begin_state(state, call, at);
  for (int index = 0; index < chunks; ++index) {
    const auto stage = tiles.stage(index);
    copy_async_wait<0>();
    __syncthreads();  // this chunk is there, and nobody reads the one before it
    if (index + 1 < chunks) {
      load_chunk(tiles.stage(index + 1), call, at, ScanChunk(at, kC, index + 1));
    }
    const auto scale = static_cast<float>(call.args.shape.scale);
#pragma unroll 1
    for (int i = threadIdx.x; i < kC; i += blockDim.x) {
      tiles.factors[i] = factors_of(stage.gates[i], scale);
    }
    if (call.args.output) score(stage, scale, tiles.scores);
    Sums errors[kC / 8] = {};
    if (call.args.shape.solve && is_active) {
      multiply_add<K::inner, E>(errors, state, rows_of_tile(stage.k, kKeys), 0);
    }
    __syncthreads();  // P and the factors are there
    if (is_active) advance(state, errors, tiles, stage, call, at, ScanChunk(at, kC, index));
  }
  if (is_active) end_state(state, call, at);
}

template <class E, int kC, int kKeys>
Status launch_scan(const ScanCall& call) {
  const int warps = call.args.plan.warps;
  const Launch how{call.parts * call.args.shape.value_heads * call.slices, warps * kWarp,
                   ScanTiles<E, kC, kKeys>::bytes(warps), call.stream};
  return launch(delta_rule_scan_kernel<E, kC, kKeys>, "delta_rule_scan", how, call);
}

}  // namespace gamut::cuda
