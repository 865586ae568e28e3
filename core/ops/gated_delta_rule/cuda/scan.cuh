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

#include "ops/gated_delta_rule/cuda/scan_state.cuh"

namespace gamut::cuda {

// What scales the steps of a chunk in its products, in shared memory.
template <int kC>
struct ScanFactors {
  float* data;  // [4, C]

  __device__ float* beta() const { return data; }
  __device__ float* beta_decayed() const { return data + kC; }  // beta e
  __device__ float* read() const { return data + 2 * kC; }      // scale e
  __device__ float* left() const { return data + 3 * kC; }      // rho

  __device__ void set(int step, const DeltaRuleGate& gate, float scale) const {
    const float decay = decay_until(gate);
    beta()[step] = gate.beta;
    beta_decayed()[step] = gate.beta * decay;
    read()[step] = scale * decay;
    left()[step] = gate.left;
  }
};

// Of a tile of sums whose columns are steps: multiplied step by step.
template <int kTiles>
__device__ inline void scale_columns(Sums (&x)[kTiles], const float* factors) {
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const auto f = *reinterpret_cast<const float2*>(factors + tile * 8 + sum_column(0));
    x[tile][0] *= f.x, x[tile][1] *= f.y, x[tile][2] *= f.x, x[tile][3] *= f.y;
  }
}

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
  ScanFactors<kC> factors;

  __device__ ScanTiles(SharedMemory& shared, int warps) : warps(warps) {
    first.q = shared.take<E>(2 * kKeysSize);
    first.k = shared.take<E>(2 * kKeysSize);
    first.inverse = shared.take<E>(2 * kSquareSize);
    first.v = shared.take<E>(2 * warps * kSliceSize) + warp_index() * kSliceSize;
    first.gates = shared.take<DeltaRuleGate>(2 * kC);
    scores = shared.take<E>(kSquareSize);
    factors.data = shared.take<float>(4 * kC);
  }

  static size_t bytes(int warps) {
    SharedSize size;
    size.add<E>(2 * kKeysSize).template add<E>(2 * kKeysSize).template add<E>(2 * kSquareSize);
    size.add<E>(2 * warps * kSliceSize).template add<DeltaRuleGate>(2 * kC);
    return size.add<E>(kSquareSize).template add<float>(4 * kC).bytes();
  }

  __device__ Stage stage(int chunk) const {
    const int i = chunk % 2;
    return {first.q + i * kKeysSize, first.k + i * kKeysSize, first.inverse + i * kSquareSize,
            first.v + i * warps * kSliceSize, first.gates + i * kC};
  }
};

// ---- A chunk ----

// The chunk's steps, counted in the piece.
struct ScanChunk {
  int64_t first;
  int slot, steps;

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
                chunk.steps, d_k, call.k_bytes, thread, threads);
  if (args.output) {
    load_tile<kC>(stage.q, kKeys, row_of<E>(args.q, chunk.first, at.key_head), args.q.step_stride,
                  chunk.steps, d_k, call.q_bytes, thread, threads);
  }
  const int64_t place = int64_t{chunk.slot} * shape.value_heads + at.head;
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
                  args.v.step_stride, chunk.steps, left < kSlice ? left : kSlice, call.v_bytes,
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
        const float decay = scale * decay_between(stage.gates[row], stage.gates[j]);
        sums[tile][i] = j <= row ? sums[tile][i] * decay : 0.0F;
      }
      E* to = scores + (at.row * 16 + sum_row(0)) * tile_stride(kC) + column;
      store2<E>(to, sums[tile][0], sums[tile][1]);
      store2<E>(to + 8 * tile_stride(kC), sums[tile][2], sums[tile][3]);
    }
  }
}

// errors^T = beta (V^T - e errors^T): what the solve makes V' of. Without values V is zero.
template <class E, int kC>
__device__ inline void subtract_from_values(Sums (&errors)[kC / 8], const Rows<E>& v, bool is_value,
                                            const ScanFactors<kC>& factors) {
  scale_columns(errors, factors.beta_decayed());
#pragma unroll
  for (int i = 0; i < kC / 8 * 4; ++i) errors[i / 4][i % 4] = -errors[i / 4][i % 4];
  if (!is_value) return;
#pragma unroll
  for (int tile = 0; tile < kC / 8; tile += 2) {
    Sums values[2];
    load_transposed(values[0], values[1], v, 0, tile * 8);
    scale_columns(values, factors.beta() + tile * 8);
#pragma unroll
    for (int i = 0; i < 8; ++i) errors[tile + i / 4][i % 4] += values[i / 4][i % 4];
  }
}

// Outputs of steps `from`, `from` + 1, ..., by way of the warp's tile of values.
template <class E, int kTiles>
__device__ inline void store_output(const Sums (&output)[kTiles], E* values, int from,
                                    const ScanCall& call, const ScanPlace& at,
                                    const ScanChunk& chunk) {
  const auto& shape = call.args.shape;
  constexpr int kStride = tile_stride(kSlice);
  E* tile = values + from * kStride;
  __syncwarp();  // the values have been read
#pragma unroll
  for (int i = 0; i < kTiles * 4; ++i) {
    tile[(i / 4 * 8 + sum_column(i % 4)) * kStride + sum_row(i % 4)] =
        static_cast<E>(output[i / 4][i % 4]);
  }
  __syncwarp();
  const int64_t step = shape.value_heads * shape.d_v;
  E* to = static_cast<E*>(call.args.output) + (chunk.first + from) * step + at.head * shape.d_v +
          at.column;
  store_tile<kTiles * 8>(tile, kSlice, to, step, chunk.steps - from,
                         static_cast<int>(shape.d_v) - at.column, call.output_bytes, lane_index(),
                         kWarp);
}

// O^T of the warp's columns, from the entering state and V': steps from tile kFirst on, as many as
// half a chunk.
template <int kFirst, class E, int kC, int kKeys>
__device__ inline void read_state(const Sums (&state)[kKeys / 8], const Sums (&errors)[kC / 8],
                                  const ScanTiles<E, kC, kKeys>& tiles,
                                  const ScanStage<E, kC, kKeys>& stage, const ScanCall& call,
                                  const ScanPlace& at, const ScanChunk& chunk) {
  constexpr int kFrom = kFirst * 8;
  Sums output[kC / 16] = {};
  multiply_add<K::inner, E>(output, state, rows_of_tile(stage.q, kKeys), kFrom);
  scale_columns(output, tiles.factors.read() + kFrom);
  multiply_add_lower<E, kFirst>(output, errors, rows_of_tile(tiles.scores, kC));
  if (call.args.skip) {
    const float skip = call.args.skip[at.head];
#pragma unroll
    for (int i = 0; i < kC / 16; i += 2) {
      Sums values[2];
      load_transposed(values[0], values[1], rows_of_tile(stage.v, kSlice), 0, kFrom + i * 8);
#pragma unroll
      for (int j = 0; j < 8; ++j) output[i + j / 4][j % 4] += skip * values[j / 4][j % 4];
    }
  }
  store_output(output, stage.v, kFrom, call, at, chunk);
}

// What a warp does with a chunk once P and the factors are there; `errors` comes as S^T K^T.
template <class E, int kC, int kKeys>
__device__ inline void advance(Sums (&state)[kKeys / 8], Sums (&errors)[kC / 8],
                               const ScanTiles<E, kC, kKeys>& tiles,
                               const ScanStage<E, kC, kKeys>& stage, const ScanCall& call,
                               const ScanPlace& at, const ScanChunk& chunk) {
  const auto& args = call.args;
  subtract_from_values(errors, rows_of_tile(stage.v, kSlice), at.is_value, tiles.factors);
  if (args.shape.solve) multiply_unit_lower<E>(errors, rows_of_tile(stage.inverse, kC));
  const int64_t place =
      (int64_t{chunk.slot} * args.shape.value_heads + at.head) * delta_rule_padded(args.shape.d_v) +
      at.column;
  if (args.errors && at.is_value) {
    store_rows<E>(errors, static_cast<E*>(args.errors) + place * kC, kC, kC);
  }
  if (args.states && at.is_value) {
    const auto keys = static_cast<int>(delta_rule_padded(args.shape.d_k));
    store_rows<E>(state, static_cast<E*>(args.states) + place * keys, keys, keys);
  }
  if (args.output && at.is_value) {
    read_state<0>(state, errors, tiles, stage, call, at, chunk);
    read_state<kC / 16>(state, errors, tiles, stage, call, at, chunk);
  }
  scale_columns(errors, tiles.factors.left());
  const float decay = decay_until(stage.gates[kC - 1]);
#pragma unroll
  for (int i = 0; i < kKeys / 8 * 4; ++i) state[i / 4][i % 4] *= decay;
  multiply_add<K::outer, E>(state, errors, rows_of_tile(stage.k, kKeys), 0);
}

template <class E, int kC, int kKeys>
__global__ void __launch_bounds__(kScanMaxWarps* kWarp, 1)
    delta_rule_scan_kernel(const ScanCall call) {
  const ScanPlace at(call, kC);
  if (at.is_idle(call)) return;
  SharedMemory shared;
  const ScanTiles<E, kC, kKeys> tiles(shared, static_cast<int>(blockDim.x) / kWarp);
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
      tiles.factors.set(i, stage.gates[i], scale);
    }
    if (call.args.output) score(stage, scale, tiles.scores);
    Sums errors[kC / 8] = {};
    if (call.args.shape.solve && at.column >= 0) {
      multiply_add<K::inner, E>(errors, state, rows_of_tile(stage.k, kKeys), 0);
    }
    __syncthreads();  // P and the factors are there
    if (at.column >= 0) advance(state, errors, tiles, stage, call, at, ScanChunk(at, kC, index));
  }
  // Found again, so that no register holds it through the loop.
  if (at.column >= 0) end_state(state, call, ScanPlace(call, kC));
}

template <class E, int kC, int kKeys>
Status launch_scan(const ScanCall& call) {
  const int warps = call.args.plan.warps;
  const Launch how{call.parts * call.args.shape.value_heads * call.slices, warps * kWarp,
                   ScanTiles<E, kC, kKeys>::bytes(warps), call.stream};
  return launch(delta_rule_scan_kernel<E, kC, kKeys>, "delta_rule_scan", how, call);
}

}  // namespace gamut::cuda
