// The gradients of states and errors, dH and Z, from the last chunk of a sequence, or of a run of
// its chunks, to the first:
//   dV' = P^T dO + diag(rho) K dH                     Z = (I + A)^-T dV'
//   dS  = exp(G_C) dH + scale (diag(e) Q)^T dO - (diag(beta e) K)^T Z
//
// All is computed transposed: a warp keeps dH^T of 16 columns of d_v as sums in registers, and each
// product's sums are the next one's left operand. Warps share tiles of the chunk, nothing else.
#pragma once

#include "cuda/pack.cuh"
#include "ops/gated_delta_rule/cuda/reverse_scan.h"
#include "ops/gated_delta_rule/cuda/tiles.cuh"

namespace gamut::cuda {

// A chunk in shared memory.
template <class E>
struct ReverseStage {
  E *q, *k, *d_o, *scores, *inverse;
  DeltaRuleGate* gates;
};

// Shared memory, as the host counts it and as a block takes it: `stages` chunks, and what the rows
// of one are multiplied by.
template <class E, int kC>
struct ReverseMemory {
  int d_k, columns;  // padded
  ReverseStage<E> chunks;
  float *read, *solved, *left;  // [C]: scale e, -beta e, rho

  static size_t bytes(const DeltaRuleShape& shape, const DeltaRuleBackwardPlan& plan) {
    const int keys = kC * tile_stride(static_cast<int>(delta_rule_padded(shape.d_k)));
    const int square = kC * tile_stride(kC), n = plan.scan_stages;
    SharedSize size;
    size.add<E>(n * keys).template add<E>(n * keys);
    size.add<E>(n * kC * tile_stride(plan.scan.warps * 16));
    size.add<E>(n * square).template add<E>(n * square).template add<DeltaRuleGate>(n * kC);
    size.add<float>(kC).template add<float>(kC).template add<float>(kC);
    return size.bytes();
  }

  __device__ ReverseMemory(int padded_d_k, int columns_of_block, int n)
      : d_k(padded_d_k), columns(columns_of_block) {
    SharedMemory shared;
    chunks.q = shared.take<E>(n * kC * tile_stride(d_k));
    chunks.k = shared.take<E>(n * kC * tile_stride(d_k));
    chunks.d_o = shared.take<E>(n * kC * tile_stride(columns));
    chunks.scores = shared.take<E>(n * kC * tile_stride(kC));
    chunks.inverse = shared.take<E>(n * kC * tile_stride(kC));
    chunks.gates = shared.take<DeltaRuleGate>(n * kC);
    read = shared.take<float>(kC);
    solved = shared.take<float>(kC);
    left = shared.take<float>(kC);
  }

  __device__ ReverseStage<E> stage(int i) const {
    const int keys = i * kC * tile_stride(d_k), square = i * kC * tile_stride(kC);
    return {
        chunks.q + keys,        chunks.k + keys,         chunks.d_o + i * kC * tile_stride(columns),
        chunks.scores + square, chunks.inverse + square, chunks.gates + i * kC};
  }
};

// d [16, columns] += x b, columns of b from `n` on; the rest of d stays as it is.
template <K kOrder, int kTiles, class E>
__device__ inline void multiply_add_some(Sums (&d)[kTiles], const OperandA<E>& x, const Rows<E>& b,
                                         int k, int n, int columns) {
#pragma unroll
  for (int tile = 0; tile < kTiles; tile += 2) {
    if (tile * 8 >= columns) break;
    OperandB<E> y[2];
    load_b_pair<kOrder>(y, b, k, n + tile * 8);
    multiply_add(d[tile], x, y[0]);
    multiply_add(d[tile + 1], x, y[1]);
  }
}

// Two tiles, side by side, to rows that are `stride` apart.
template <class T>
__device__ inline void store_pair(T* to, int stride, const Sums& left, const Sums& right) {
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const float first[2] = {left[i], left[i + 1]}, second[2] = {right[i], right[i + 1]};
    T* const row = to + sum_row(i) * stride + sum_column(0);
    store_pack<2>(row, first);
    store_pack<2>(row + 8, second);
  }
}

// What a run makes of no gradient behind it, [padded d_v, padded d_k], and then its matrix
// [padded d_k, padded d_k], by which it takes one that is there, both transposed as dH^T is.
__device__ inline float* run_of(const DeltaRuleBackward& args, int64_t part, int64_t value_head) {
  const int64_t d_k = delta_rule_padded(args.shape.d_k);
  const int64_t rows = delta_rule_padded(args.shape.d_v) + d_k;
  return args.runs + (part * args.shape.value_heads + value_head) * rows * d_k;
}

// One sequence (or run) and value head, and 16 columns of d_v a warp; in a probe also the run's
// matrix, 16 of its rows a warp. kTiles * 8 >= d_k.
template <class E, int kTiles, int kC>
class ReverseScan {
 public:
  __device__ explicit ReverseScan(const ReverseScanCall& call)
      : args_(call.args),
        shape_(call.args.shape),
        pass_(call.pass),
        d_k_(static_cast<int>(delta_rule_padded(shape_.d_k))),
        d_v_(static_cast<int>(delta_rule_padded(shape_.d_v))),
        columns_(args_.plan.scan.warps * 16),
        stages_(args_.plan.scan_stages),
        memory_(d_k_, columns_, stages_) {
    part_ = blockIdx.x / call.slices / shape_.value_heads;
    value_head_ = blockIdx.x / call.slices % shape_.value_heads;
    head_ = value_head_ / (shape_.value_heads / shape_.heads);
    if (pass_ == ReversePass::whole) {
      const int64_t begin = sequence_begin(shape_, part_);
      piece_ = {part_, 0, begin, sequence_begin(shape_, part_ + 1) - begin, true};
    } else {
      piece_ = piece_of_slot(shape_, args_.plan.scan.run * kC, part_);
    }
    slot_ = first_slot(shape_, kC, piece_.sequence) + piece_.index * args_.plan.scan.run;
    column_ = static_cast<int>(blockIdx.x % call.slices) * columns_;
    row_ = column_ + warp_index() * 16;
    is_value_ = row_ < d_v_;
    // What enters the last run is known: what leaves it needs no matrix.
    is_matrix_ = pass_ == ReversePass::probe && !is_value_ && !piece_.is_last && row_ < d_v_ + d_k_;
  }

  // What leaves the first run is the gradient of the initial state, for which no probe is needed.
  __device__ bool is_idle() const {
    return piece_.index < 0 || (pass_ == ReversePass::probe && piece_.index == 0);
  }

  __device__ void run() {
    const auto chunks = static_cast<int>((piece_.steps + kC - 1) / kC);
    begin_state();
    clear_tiles();
    if (chunks > 0) load(chunks - 1);
    for (int chunk = chunks - 1; chunk >= 0; --chunk) {
      const auto stage = memory_.stage(chunk % stages_);
      copy_async_wait<0>();
      __syncthreads();
      if (stages_ == 2 && chunk > 0) load(chunk - 1);
      set_factors(stage.gates);
      __syncthreads();
      if (is_value_ || is_matrix_) run_chunk(stage, slot_ + chunk);
      if (stages_ == 1) {
        __syncthreads();
        if (chunk > 0) load(chunk - 1);
      }
    }
    end_state();
  }

 private:
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ int threads() const { return static_cast<int>(blockDim.x); }
  __device__ int64_t place(int64_t slot) const { return slot * shape_.value_heads + value_head_; }

  // Of tiles of E: what loads leave as it is.
  __device__ void clear_tiles() const {
    const int d_k = static_cast<int>(shape_.d_k), left = static_cast<int>(shape_.d_v) - column_;
    for (int i = 0; i < stages_; ++i) {
      const auto stage = memory_.stage(i);
      clear_columns<kC>(stage.q, d_k_, d_k, thread(), threads());
      clear_columns<kC>(stage.k, d_k_, d_k, thread(), threads());
      if (left > 0 && left < columns_)
        clear_columns<kC>(stage.d_o, columns_, left, thread(), threads());
    }
  }

  __device__ void load(int chunk) const {
    const auto stage = memory_.stage(chunk % stages_);
    const int64_t first = piece_.first + static_cast<int64_t>(chunk) * kC;
    const int64_t end = piece_.first + piece_.steps;
    const int steps = static_cast<int>(end - first < kC ? end - first : kC);
    const int d_k = static_cast<int>(shape_.d_k), left = static_cast<int>(shape_.d_v) - column_;
    const int64_t at = place(slot_ + chunk) * kC;
    load_rows(stage.k, d_k_, args_.k, first, head_, 0, d_k, steps);
    if (left > 0) {
      load_rows(stage.q, d_k_, args_.q, first, head_, 0, d_k, steps);
      load_rows(stage.d_o, columns_, args_.d_output, first, value_head_, column_,
                left < columns_ ? left : columns_, steps);
      load_tile<kC>(stage.scores, kC, static_cast<const E*>(args_.scores) + at * kC, kC, kC, kC, 16,
                    thread(), threads());
    }
    if (shape_.solve) {
      load_tile<kC>(stage.inverse, kC, static_cast<const E*>(args_.inverse) + at * kC, kC, kC, kC,
                    16, thread(), threads());
    }
    for (int i = thread(); i < kC; i += threads()) {
      copy_async16(stage.gates + i, args_.gates + at + i);
    }
    copy_async_commit();
  }

  __device__ void load_rows(E* tile, int columns, const DeltaRuleRows& from, int64_t first,
                            int64_t head, int column, int width, int steps) const {
    load_tile<kC>(tile, columns, row_of<E>(from, first, head) + column, from.step_stride, steps,
                  width, copy_bytes<E>(from, width), thread(), threads());
  }

  __device__ void set_factors(const DeltaRuleGate* gates) const {
    for (int i = thread(); i < kC; i += threads()) {
      const DeltaRuleGate gate = gates[i];
      const float e = decay_until(gate);
      memory_.read[i] = e * static_cast<float>(shape_.scale);
      memory_.solved[i] = -gate.beta * e;
      memory_.left[i] = gate.left;
    }
  }

  __device__ void run_chunk(const ReverseStage<E>& stage, int64_t slot) {
    const bool writes = pass_ != ReversePass::probe;
    if (writes) store_leaving(slot);
    Sums errors[kC / 8] = {};
    read_state(stage, errors);
    const float whole = decay_until(stage.gates[kC - 1]);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) state_[tile][i] *= whole;
    }
    if (is_value_) add_outputs(stage, errors);
    E* const to = static_cast<E*>(args_.d_errors) + (place(slot) * d_v_ + row_) * kC;
    solve(stage, errors, writes ? to : nullptr);
  }

  // errors += diag(rho) K dH.
  __device__ void read_state(const ReverseStage<E>& stage, Sums (&errors)[kC / 8]) const {
    const auto k = rows_of_tile(stage.k, d_k_);
#pragma unroll
    for (int step = 0; step < kTiles; step += 2) {
      if (step * 8 >= d_k_) break;
      OperandA<E> x;
      operand_of_sums(x, state_[step], state_[step + 1]);
      multiply_add_some<K::inner>(errors, x, k, step * 8, 0, kC);
    }
#pragma unroll
    for (int tile = 0; tile < kC / 8; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        errors[tile][i] *= memory_.left[tile * 8 + sum_column(i)];
      }
    }
  }

  // errors += P^T dO, state += scale (diag(e) Q)^T dO. Loops over steps are kept as loops where
  // they can be, which costs nothing here and saves the compiler most of its time.
  __device__ void add_outputs(const ReverseStage<E>& stage, Sums (&errors)[kC / 8]) {
    const auto scores = rows_of_tile(stage.scores, kC), q = rows_of_tile(stage.q, d_k_);
    const auto d_o = rows_of_tile(stage.d_o, columns_);
#pragma unroll 1
    for (int step = 0; step < kC; step += 16) {
      Sums x[2];
      OperandA<E> operand;
      load_transposed(x[0], x[1], d_o, row_ - column_, step);
      operand_of_sums(operand, x[0], x[1]);
      multiply_add_some<K::outer>(errors, operand, scores, step, 0, step + 16);
      scale_columns(x, memory_.read + step);
      operand_of_sums(operand, x[0], x[1]);
      multiply_add_some<K::outer>(state_, operand, q, step, 0, d_k_);
    }
  }

  // Z^T = dV'^T T, 16 steps at a time, to memory unless that is null; state -= (diag(beta e) K)^T
  // Z.
  __device__ void solve(const ReverseStage<E>& stage, const Sums (&errors)[kC / 8], E* to) {
    const auto inverse = rows_of_tile(stage.inverse, kC), k = rows_of_tile(stage.k, d_k_);
#pragma unroll 1
    for (int step = 0; step < kC; step += 16) {
      Sums z[2] = {};
#pragma unroll
      for (int later = 0; later < kC; later += 16) {
        if (shape_.solve ? later < step : later != step) continue;
        if (!shape_.solve) {
#pragma unroll
          for (int i = 0; i < 8; ++i) z[i / 4][i % 4] = errors[later / 8 + i / 4][i % 4];
          continue;
        }
        OperandA<E> x;
        operand_of_sums(x, errors[later / 8], errors[later / 8 + 1]);
        // What the ones on the diagonal take is not rounded.
        if (later == step) add_remainder(z[0], z[1], errors[later / 8], errors[later / 8 + 1], x);
        multiply_add_some<K::outer>(z, x, inverse, later, step, 16);
      }
      if (to) store_pair(to + step, kC, z[0], z[1]);
      if (!shape_.solve) continue;
      scale_columns(z, memory_.solved + step);
      OperandA<E> x;
      operand_of_sums(x, z[0], z[1]);
      multiply_add_some<K::outer>(state_, x, k, step, 0, d_k_);
    }
  }

  static __device__ void scale_columns(Sums (&x)[2], const float* factors) {
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i / 4][i % 4] *= factors[i / 4 * 8 + sum_column(i % 4)];
  }

  __device__ void store_leaving(int64_t slot) const {
    E* const to = static_cast<E*>(args_.d_states) + (place(slot) * d_v_ + row_) * d_k_;
#pragma unroll
    for (int tile = 0; tile < kTiles; tile += 2) {
      if (tile * 8 < d_k_) store_pair(to + tile * 8, d_k_, state_[tile], state_[tile + 1]);
    }
  }

  // Calls use(element of dH, its row and column), all within d_v and d_k.
  template <class Use>
  __device__ void each_of_state(const Use& use) {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int v = row_ + sum_row(i), k = tile * 8 + sum_column(i);
        if (v < shape_.d_v && k < shape_.d_k) use(state_[tile][i], v, k);
      }
    }
  }

  // In a tensor of states of sequences.
  __device__ int64_t place_of_state(int v, int k) const {
    const int64_t state =
        (piece_.sequence * shape_.value_heads + value_head_) * shape_.d_k * shape_.d_v;
    return state + (shape_.value_first ? v * shape_.d_k + k : k * shape_.d_v + v);
  }

  __device__ void begin_state() {
    if (is_matrix_) {
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          state_[tile][i] = row_ - d_v_ + sum_row(i) == tile * 8 + sum_column(i) ? 1.0F : 0.0F;
        }
      }
    } else if (piece_.is_last && args_.d_final) {
      each_of_state([&](float& x, int v, int k) { x = args_.d_final[place_of_state(v, k)]; });
    } else if (pass_ == ReversePass::runs && !piece_.is_last) {
      const float* const from = run_of(args_, part_ + 1, value_head_);
      each_of_state([&](float& x, int v, int k) { x = from[v * d_k_ + k]; });
    }
  }

  __device__ void end_state() {
    if (pass_ == ReversePass::probe) {
      if (!is_value_ && !is_matrix_) return;
      float* const to = run_of(args_, part_, value_head_) + row_ * d_k_;
#pragma unroll
      for (int tile = 0; tile < kTiles; tile += 2) {
        if (tile * 8 < d_k_) store_pair(to + tile * 8, d_k_, state_[tile], state_[tile + 1]);
      }
    } else if (piece_.index == 0 && args_.d_initial) {
      each_of_state([&](float& x, int v, int k) { args_.d_initial[place_of_state(v, k)] = x; });
    }
  }

  const DeltaRuleBackward& args_;
  const DeltaRuleShape& shape_;
  const ReversePass pass_;
  const int d_k_, d_v_;  // padded
  const int columns_;    // of d_v, of this block
  const int stages_;
  ReverseMemory<E, kC> memory_;
  int column_, row_;           // the first of them, and the first of this warp
  bool is_value_, is_matrix_;  // whether those are columns of d_v, or rows of a run's matrix
  int64_t part_, value_head_, head_, slot_;
  Piece piece_;
  Sums state_[kTiles] = {};  // dH^T
};

template <class E, int kTiles, int kC>
__global__ void __launch_bounds__(kScanMaxWarps* kWarp, 1)
    reverse_scan_kernel(const __grid_constant__ ReverseScanCall call) {
  ReverseScan<E, kTiles, kC> scan(call);
  if (!scan.is_idle()) scan.run();
}

template <class E, int kTiles, int kC>
Status launch_reverse_scan(const ReverseScanCall& call, Stream stream) {
  const auto& args = call.args;
  return launch(
      reverse_scan_kernel<E, kTiles, kC>, "delta_rule_reverse_scan",
      Launch{call.parts * args.shape.value_heads * call.slices, args.plan.scan.warps * kWarp,
             ReverseMemory<E, kC>::bytes(args.shape, args.plan), stream},
      call);
}

}  // namespace gamut::cuda
