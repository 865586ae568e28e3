// Gradients of the inputs within a chunk, from S, V', dH and Z: a block of threads is a chunk, a
// head of q and k, a slice of d_k, and some of the value heads that read the head.
//
// Every product is linear in a slice of d_k but those over d_v, which the slices repeat; so each
// has its part of dg and dbeta. What value heads share of dQ and dK is added up before it is
// multiplied:
//   dQ = sum_h scale diag(e) dO S^T + (sum_h dP) K
//   dK = sum_h (diag(rho) V' dH^T - diag(beta e) Z S^T) + X K + X^T K + (sum_h dP)^T Q
// with X = sum_h diag(beta) dX. A warp has 16 rows and one half of the columns of whatever is
// computed.
#pragma once

#include "ops/gated_delta_rule/cuda/gradients.h"
#include "ops/gated_delta_rule/cuda/gradients_gates.cuh"

namespace gamut::cuda {

template <class E, int kC, int kTiles>
class ChunkGradients {
 public:
  using Memory = GradientsMemory<E, kC>;
  static constexpr int kThreads = Memory::kThreads;

  __device__ explicit ChunkGradients(const DeltaRuleBackward& args)
      : args_(args), shape_(args.shape), at_(args, kC), memory_(at_.columns, args.plan) {
    row_ = warp_index() / 2 * 16;
    half_ = warp_index() % 2;
    const int first = (at_.columns / 16 + 1) / 2 * 16;  // columns of the first half
    column_ = half_ == 0 ? 0 : first;
    columns_ = half_ == 0 ? first : at_.columns - first;
  }

  __device__ void run() {
    if (at_.chunk.index < 0) return skip_slot();
    load_keys();
    const int slices = (at_.d_v + args_.plan.columns - 1) / args_.plan.columns;
    const int tasks = at_.value_heads * slices, stages = args_.plan.stages;
    load(0, slices);
    for (int task = 0; task < tasks; ++task) {
      copy_async_wait<0>();
      __syncthreads();
      if (task == 0) multiply_keys();
      if (stages == 2 && task + 1 < tasks) load(task + 1, slices);
      const int head = task / slices, slice = task % slices;
      if (slice == 0) begin_head(head);
      add_slice(memory_.stage(task % stages), head, slice);
      if (stages == 1) {
        __syncthreads();
        if (task + 1 < tasks) load(task + 1, slices);
      }
      if (slice == slices - 1) finish_head(head);
    }
    finish();
  }

 private:
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }

  // A slot without a chunk has no part in dD.
  __device__ void skip_slot() const {
    if (!args_.d_skip || !at_.is_first_slice || thread() > 0) return;
    for (int i = 0; i < at_.value_heads; ++i) args_.d_skip[at_.place(i)] = 0;
  }

  // ---- Loads ----

  __device__ void load_keys() const {
    load_rows(memory_.q, at_.columns, args_.q, at_.head, at_.column, at_.width);
    load_rows(memory_.k, at_.columns, args_.k, at_.head, at_.column, at_.width);
    clear_columns<kC>(memory_.q, at_.columns, at_.width, thread(), kThreads);
    clear_columns<kC>(memory_.k, at_.columns, at_.width, thread(), kThreads);
  }

  __device__ void load_rows(E* tile, int columns, const DeltaRuleRows& from, int64_t head,
                            int column, int width) const {
    const int64_t whole = &from == &args_.d_output ? shape_.d_v : shape_.d_k;
    load_tile<kC>(tile, columns, row_of<E>(from, at_.chunk.first, head) + column, from.step_stride,
                  at_.chunk.steps, width, copy_bytes<E>(from, whole), thread(), kThreads);
  }

  // Columns of d_v from `first` on, for one value head, and its gates with the first of them.
  __device__ void load(int task, int slices) const {
    const int head = task / slices, first = task % slices * args_.plan.columns;
    const int rows = at_.slice_rows(args_, first), d_k = at_.d_k;
    const int left = static_cast<int>(shape_.d_v) - first;
    const auto stage = memory_.stage(task % args_.plan.stages);
    const int64_t place = at_.place(head), row = place * at_.d_v + first;
    load_rows(stage.d_o, args_.plan.columns, args_.d_output, at_.first_value_head + head, first,
              left < rows ? left : rows);
    if (left < rows) {
      clear_columns<kC>(stage.d_o, args_.plan.columns, left, thread(), kThreads);
    }
    load_matrix<kThreads>(stage.z, kC, static_cast<const E*>(args_.d_errors) + row * kC, kC, rows);
    load_matrix<kThreads>(stage.errors, kC, static_cast<const E*>(args_.errors) + row * kC, kC,
                          rows);
    load_matrix<kThreads>(stage.state, at_.columns,
                          static_cast<const E*>(args_.states) + row * d_k + at_.column, d_k, rows);
    load_matrix<kThreads>(stage.d_state, at_.columns,
                          static_cast<const E*>(args_.d_states) + row * d_k + at_.column, d_k,
                          rows);
    if (first == 0) {
      DeltaRuleGate* const gates = memory_.gates + head % 2 * kC;
      for (int i = thread(); i < kC; i += kThreads) {
        copy_async16(gates + i, args_.gates + place * kC + i);
      }
    }
    copy_async_commit();
  }

  // ---- Products ----

  // d += a b over depths [from, to), a's rows from this warp's, b's columns from `n`.
  template <K kOrderA, int kN>
  __device__ void multiply(Sums (&d)[kN], const Rows<E>& a, const Rows<E>& b, int n, int columns,
                           int from, int to) const {
#pragma unroll 1
    for (int k = from; k < to; k += 16) {
      const auto x = load_a<kOrderA>(a, row_, k);
#pragma unroll
      for (int tile = 0; tile < kN; tile += 2) {
        if (tile * 8 >= columns) break;
        OperandB<E> y[2];
        load_b_pair<K::outer>(y, b, k, n + tile * 8);
        multiply_add(d[tile], x, y[0]);
        multiply_add(d[tile + 1], x, y[1]);
      }
    }
  }

  // The first of this warp's columns of a matrix [C, C], and whether they reach the diagonal.
  __device__ int square_column() const { return half_ * (kC / 2); }
  __device__ bool is_below() const { return square_column() < row_ + 16; }

  // Q K^T and K K^T, each thread's own sums.
  __device__ void multiply_keys() const {
    const auto k = rows_of_tile(memory_.k, at_.columns);
#pragma unroll 1
    for (int i = 0; i < 2; ++i) {
      Sums sums[kC / 16] = {};
      if (is_below()) {
        multiply_add<K::inner, K::inner>(sums,
                                         rows_of_tile(i == 0 ? memory_.q : memory_.k, at_.columns),
                                         row_, k, square_column(), at_.columns);
      }
#pragma unroll
      for (int j = 0; j < kC / 4; ++j) {
        memory_.products[(i * (kC / 4) + j) * kThreads + thread()] = sums[j / 4][j % 4];
      }
    }
  }

  // ---- A value head ----

  __device__ void begin_head(int head) {
    const DeltaRuleGate* const gates = memory_.gates + head % 2 * kC;
    for (int i = thread(); i < kC; i += kThreads) {
      const float e = decay_until(gates[i]);
      memory_.factors[i] = {e, gates[i].beta, gates[i].left};
    }
#pragma unroll
    for (int i = 0; i < kC / 4; ++i) d_scores_[i / 4][i % 4] = d_solve_[i / 4][i % 4] = 0;
#pragma unroll
    for (int i = 0; i < 2; ++i) read_[i] = solved_[i] = written_[i] = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) strength_[i] = 0;
    whole_ = skip_ = 0;
    __syncthreads();
  }

  // What some columns of d_v add.
  __device__ void add_slice(const GradientsStage<E>& stage, int head, int slice) {
    const int first = slice * args_.plan.columns, rows = at_.slice_rows(args_, first);
    const auto d_o = rows_of_tile(stage.d_o, args_.plan.columns);
    const auto z = rows_of_tile(stage.z, kC), errors = rows_of_tile(stage.errors, kC);
    const auto state = rows_of_tile(stage.state, at_.columns);
    const auto d_state = rows_of_tile(stage.d_state, at_.columns);
    if (is_below()) {
      multiply<K::inner>(d_scores_, d_o, errors, square_column(), kC / 2, 0, rows);
      if (shape_.solve) {
        multiply<K::outer>(d_solve_, z, errors, square_column(), kC / 2, 0, rows);
      }
    }
    fold<K::inner>(d_q_, read_, d_o, state, memory_.q, rows,
                   [&](const RowFactors& f) { return f.decay * static_cast<float>(shape_.scale); });
    if (shape_.solve) {
      fold<K::outer>(d_k_, solved_, z, state, memory_.k, rows,
                     [](const RowFactors& f) { return -f.beta * f.decay; });
    }
    fold<K::outer>(d_k_, written_, errors, d_state, memory_.k, rows,
                   [](const RowFactors& f) { return f.left; });
    add_states(stage, rows);
    if (at_.is_first_slice) differentiate_values(stage, head, first, rows);
  }

  // sums += diag(factor) a b, and what the rows of a b are times those of `keys`.
  template <K kOrderA, class Factor>
  __device__ void fold(Sums (&sums)[kTiles], float (&dots)[2], const Rows<E>& a, const Rows<E>& b,
                       const E* keys, int depth, const Factor& factor_of) const {
    Sums product[kTiles] = {};
    multiply<kOrderA>(product, a, b, column_, columns_, 0, depth);
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const int row = row_ + sum_row(2 * side);
      const float factor = factor_of(memory_.factors[row]);
      const E* const key = keys + row * tile_stride(at_.columns) + column_ + sum_column(0);
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        if (tile * 8 >= columns_) break;
        float pair[2];
        unpack<E>(load_pack<2>(key + tile * 8), pair);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const float x = product[tile][2 * side + i];
          dots[side] += x * pair[i];
          sums[tile][2 * side + i] += factor * x;
        }
      }
    }
  }

  // <S, dH>.
  __device__ void add_states(const GradientsStage<E>& stage, int rows) {
    for (int row = warp_index(); row < rows; row += kThreads / kWarp) {
      for (int column = lane_index() * 2; column < at_.columns; column += 2 * kWarp) {
        float s[2], d[2];
        unpack<E>(load_pack<2>(stage.state + row * tile_stride(at_.columns) + column), s);
        unpack<E>(load_pack<2>(stage.d_state + row * tile_stride(at_.columns) + column), d);
        whole_ += s[0] * d[0] + s[1] * d[1];
      }
    }
  }

  // dV = diag(beta) Z + D dO, and rowsum(Z . V): a half warp has a step, a lane a column.
  __device__ void differentiate_values(const GradientsStage<E>& stage, int head, int first,
                                       int rows) {
    const int64_t value_head = at_.first_value_head + head;
    const float skip = args_.skip ? args_.skip[value_head] : 0.0F;
    const int left = static_cast<int>(shape_.d_v) - first;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int step = warp_index() * 8 + i * 2 + lane_index() / 16;
      if (step >= at_.chunk.steps) continue;
      const E* const v = row_of<E>(args_.v, at_.chunk.first + step, value_head) + first;
      E* const d_v = static_cast<E*>(args_.d_v) +
                     ((at_.chunk.first + step) * shape_.value_heads + value_head) * shape_.d_v +
                     first;
      const float beta = memory_.factors[step].beta;
      for (int column = lane_index() % 16; column < rows && column < left; column += 16) {
        const float z = to_float(stage.z[column * tile_stride(kC) + step]);
        const float d_o = to_float(stage.d_o[step * tile_stride(args_.plan.columns) + column]);
        const float x = to_float(v[column]);
        strength_[i] += z * x;
        skip_ += d_o * x;
        d_v[column] = from_float<E>(beta * z + skip * d_o);
      }
    }
  }

  __device__ void finish_head(int head) {
    const DeltaRuleGate* const gates = memory_.gates + head % 2 * kC;
    float keys[2] = {};  // rowsum(dX . K K^T)
    differentiate_products(gates, keys);
    store_row_sums(keys);
    sum_rows_before(d_scores_, memory_);
    __syncthreads();
    sum_columns_below(d_scores_, memory_);
    __syncthreads();
    if (warp_index() == 0) store_gates(args_, at_, memory_, head, gates[kC - 1]);
  }

  // From E = dO V'^T and F = -Z V'^T: dP = scale E . Gam, dX = F . Gam, and what each pair of steps
  // adds to the gradient of every gate between them, dP . (Q K^T) + dX . (diag(beta) K K^T), in the
  // place of E.
  __device__ void differentiate_products(const DeltaRuleGate* gates, float (&keys)[2]) {
    const auto scale = static_cast<float>(shape_.scale);
#pragma unroll
    for (int tile = 0; tile < kC / 16; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = row_ + sum_row(i), column = square_column() + tile * 8 + sum_column(i);
        const float* const products = memory_.products + (tile * 4 + i) * kThreads + thread();
        const float beta = memory_.factors[row].beta;
        const float gam = column <= row ? decay_between(gates[row], gates[column]) : 0.0F;
        const float d_p = column <= row ? scale * gam * d_scores_[tile][i] : 0.0F;
        const float d_x = column < row ? -gam * d_solve_[tile][i] : 0.0F;
        const float d_x_keys = d_x * products[(kC / 4) * kThreads];
        keys[i / 2] += d_x_keys;
        d_scores_[tile][i] = column < row ? d_p * products[0] + beta * d_x_keys : 0.0F;
        all_d_scores_[tile][i] += d_p;
        all_d_solve_[tile][i] += beta * d_x;
      }
    }
  }

  // Sums over the columns that warps share: through rows to the gates, and to beta.
  __device__ void store_row_sums(const float (&keys)[2]) {
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const int row = row_ + sum_row(2 * side);
      const RowFactors f = memory_.factors[row];
      const float reads = sum_of_quad(read_[side]), solved = sum_of_quad(solved_[side]);
      const float written = sum_of_quad(written_[side]), strength = sum_of_quad(keys[side]);
      if (lane_index() % 4 > 0) continue;
      const float scale = static_cast<float>(shape_.scale);
      memory_.row_sums[half_ * kC + row] = {f.decay * (scale * reads - f.beta * solved),
                                            f.left * written, strength - f.decay * solved};
    }
    for (int i = 0; i < 4; ++i) {
      const float sum = sum_of_lanes<16>(strength_[i]);
      if (lane_index() % 16 == 0) {
        memory_.strengths[warp_index() * 8 + i * 2 + lane_index() / 16] = sum;
      }
    }
    const float whole = sum_of_lanes<kWarp>(whole_), skip = sum_of_lanes<kWarp>(skip_);
    if (lane_index() == 0) memory_.block_sums[warp_index()] = {whole, skip};
  }

  // ---- All value heads ----

  __device__ void finish() {
    E* const d_scores = reinterpret_cast<E*>(memory_.products);
    E* const d_solve = d_scores + kC * tile_stride(kC);
    __syncthreads();  // the products have been read
    store_square(all_d_scores_, d_scores);
    store_square(all_d_solve_, d_solve);
    __syncthreads();
    const auto q = rows_of_tile(memory_.q, at_.columns), k = rows_of_tile(memory_.k, at_.columns);
    const auto scores = rows_of_tile(d_scores, kC), solve = rows_of_tile(d_solve, kC);
    multiply<K::inner>(d_q_, scores, k, column_, columns_, 0, row_ + 16);
    multiply<K::outer>(d_k_, scores, q, column_, columns_, row_, kC);
    if (shape_.solve) {
      multiply<K::inner>(d_k_, solve, k, column_, columns_, 0, row_ + 16);
      multiply<K::outer>(d_k_, solve, k, column_, columns_, row_, kC);
    }
    if (args_.plan.parts == 1) {
      store_keys(d_q_, static_cast<E*>(args_.d_q));
      store_keys(d_k_, static_cast<E*>(args_.d_k));
    } else {
      const GradientSums sums(args_);
      const int64_t part = at_.part * shape_.steps * shape_.heads * shape_.d_k;
      store_keys(d_q_, sums.d_q + part);
      store_keys(d_k_, sums.d_k + part);
    }
  }

  __device__ void store_square(const Sums (&x)[kC / 16], E* to) const {
#pragma unroll
    for (int tile = 0; tile < kC / 16; ++tile) {
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        const float pair[2] = {x[tile][2 * side], x[tile][2 * side + 1]};
        store_pack<2>(to + (row_ + sum_row(2 * side)) * tile_stride(kC) + square_column() +
                          tile * 8 + sum_column(0),
                      pair);
      }
    }
  }

  template <class T>
  __device__ void store_keys(const Sums (&x)[kTiles], T* to) const {
    store_sums_of_keys(x, to, shape_, at_, row_, column_, columns_);
  }

  const DeltaRuleBackward& args_;
  const DeltaRuleShape& shape_;
  const GradientsPlace at_;
  const Memory memory_;
  int row_, half_, column_, columns_;  // of this warp
  Sums d_q_[kTiles] = {}, d_k_[kTiles] = {};
  Sums all_d_scores_[kC / 16] = {}, all_d_solve_[kC / 16] = {};  // of all value heads
  // Of the value head at hand.
  Sums d_scores_[kC / 16], d_solve_[kC / 16];
  float read_[2], solved_[2], written_[2];  // q . (dO S^T), k . (Z S^T), k . (V' dH^T) of two rows
  float strength_[4], whole_, skip_;
};

template <class E, int kC, int kTiles>
__global__ void __launch_bounds__(kC * 4, 1)
    gradients_kernel(const __grid_constant__ DeltaRuleBackward args) {
  ChunkGradients<E, kC, kTiles>(args).run();
}

template <class E, int kC, int kTiles>
Status launch_gradients(const DeltaRuleBackward& args, Stream stream) {
  const auto& shape = args.shape;
  const int64_t blocks = shape.heads * args.plan.parts * args.plan.slices;
  return launch(
      gradients_kernel<E, kC, kTiles>, "delta_rule_gradients",
      Launch{delta_rule_slots(shape) * blocks, kC * 4, GradientsMemory<E, kC>::bytes(args), stream},
      args);
}

}  // namespace gamut::cuda
