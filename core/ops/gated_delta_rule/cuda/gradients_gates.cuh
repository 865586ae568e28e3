// The gradients of gates and strengths of a chunk and value head, from what warps found of its rows
// and pairs of steps: sums of which each term is taken once, never differences of larger ones.
#pragma once

#include "ops/gated_delta_rule/cuda/gradients_memory.cuh"

namespace gamut::cuda {

// Each pair becomes the sum of those before it in its row, this half alone.
template <class E, int kC>
__device__ inline void sum_rows_before(Sums (&pairs)[kC / 16],
                                       const GradientsMemory<E, kC>& memory) {
  const int first_row = warp_index() / 2 * 16;
  const int quad = lane_index() % 4;
#pragma unroll
  for (int side = 0; side < 2; ++side) {
    float before = 0;
#pragma unroll
    for (int tile = 0; tile < kC / 16; ++tile) {
      float& first = pairs[tile][2 * side];
      float& second = pairs[tile][2 * side + 1];
      const float own = first + second;
      float sum = own;  // of this lane and those before it
#pragma unroll
      for (int distance = 1; distance < 4; distance *= 2) {
        const float other = __shfl_up_sync(0xffffffff, sum, distance, 4);
        if (quad >= distance) sum += other;
      }
      float earlier = __shfl_up_sync(0xffffffff, sum, 1, 4);
      if (quad == 0) earlier = 0;
      second = before + (earlier + first);
      first = before + earlier;
      before += __shfl_sync(0xffffffff, sum, 3, 4);
    }
    if (warp_index() % 2 == 0 && quad == 0)
      memory.row_totals[first_row + sum_row(2 * side)] = before;
  }
}

// For every step t, the sum over rows i >= t of the pairs before t, a strip of rows each.
template <class E, int kC>
__device__ inline void sum_columns_below(const Sums (&pairs)[kC / 16],
                                         const GradientsMemory<E, kC>& memory) {
  const int first_row = warp_index() / 2 * 16, half = warp_index() % 2;
#pragma unroll
  for (int tile = 0; tile < kC / 16; ++tile) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int column = half * (kC / 2) + tile * 8 + sum_column(i);
      float sum = 0;
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        const int row = first_row + sum_row(2 * side);
        const float before = half == 0 ? 0.0F : memory.row_totals[row];
        if (row >= column) sum += before + pairs[tile][2 * side + i];
      }
#pragma unroll
      for (int distance = 4; distance < kWarp; distance *= 2) {
        sum += __shfl_xor_sync(0xffffffff, sum, distance);
      }
      if (lane_index() < 4) memory.column_sums[first_row / 16 * kC + column] = sum;
    }
  }
}

// This lane's steps.
template <class E, int kC>
__device__ inline void store_gate_rows(const DeltaRuleBackward& args, const GradientsPlace& at,
                                       const GradientsMemory<E, kC>& memory, int head,
                                       const float (&d_g)[kC / kWarp]) {
  constexpr int kEach = kC / kWarp;
  const auto& shape = args.shape;
  const int64_t gates = shape.steps * shape.value_heads;
  const GradientSums sums(args);
  for (int i = 0; i < kEach; ++i) {
    const int step = lane_index() * kEach + i;
    if (step >= at.chunk.steps) continue;
    const int64_t to =
        (at.chunk.first + step) * shape.value_heads + at.first_value_head + head + at.slice * gates;
    const float own = at.is_first_slice ? memory.strengths[step] : 0.0F;
    sums.d_g[to] = d_g[i];
    sums.d_beta[to] = own + memory.row_sums[step].strength + memory.row_sums[kC + step].strength;
  }
}

// dg and dbeta of a chunk, by one warp, C / 32 neighbouring steps a lane:
//   dg_t = exp(G_C) <S, dH> + sum_{i >= t} reads_i + sum_{j < t} written_j + pairs around t
template <class E, int kC>
__device__ inline void store_gates(const DeltaRuleBackward& args, const GradientsPlace& at,
                                   const GradientsMemory<E, kC>& memory, int head,
                                   const DeltaRuleGate& last) {
  constexpr int kEach = kC / kWarp;
  float whole = 0, skip = 0;
  for (int i = 0; i < GradientsMemory<E, kC>::kWarps; ++i) {
    whole += memory.block_sums[i].whole;
    skip += memory.block_sums[i].skip;
  }
  whole *= decay_until(last);
  float reads[kEach], written[kEach], all_reads = 0, all_written = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int step = lane_index() * kEach + i;
    const RowSums a = memory.row_sums[step], b = memory.row_sums[kC + step];
    all_reads += reads[i] = a.reads + b.reads;
    all_written += written[i] = a.written + b.written;
  }
  float after = sum_of_lanes_after(all_reads), before = sum_of_lanes_before(all_written);
  float d_g[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int step = lane_index() * kEach + i;
    d_g[i] = whole + before;
    before += written[i];
    for (int strip = step / 16; strip < kC / 16; ++strip) {
      d_g[i] += memory.column_sums[strip * kC + step];
    }
  }
#pragma unroll
  for (int i = kEach - 1; i >= 0; --i) {
    after += reads[i];
    d_g[i] += after;
  }
  store_gate_rows(args, at, memory, head, d_g);
  if (args.d_skip && at.is_first_slice && lane_index() == 0) {
    args.d_skip[at.place(head)] = skip;
  }
}

}  // namespace gamut::cuda
