// P = scale tril(Q K^T) . Gam of every chunk and value head, once for all that read it backwards.
#include "cuda/pack.cuh"
#include "ops/gated_delta_rule/cuda/backward.h"
#include "ops/gated_delta_rule/cuda/tiles.cuh"

namespace gamut::cuda {
namespace {

// Strips of 16 rows of a chunk times two halves of its columns: one warp each.
template <int kC>
constexpr int kScoreThreads = kC / 16 * 2 * kWarp;

template <class E, int kC>
SharedSize scores_size(int64_t d_k) {
  SharedSize size;
  const int64_t rows = kC * tile_stride(static_cast<int>(delta_rule_padded(d_k)));
  size.add<E>(rows).template add<E>(rows).template add<DeltaRuleGate>(kC);
  return size;
}

// One block a chunk and `value_heads` value heads that read one head.
template <class E, int kC>
__global__ void __launch_bounds__(kScoreThreads<kC>)
    scores_kernel(DeltaRuleBackward args, int64_t value_heads) {
  constexpr int kThreads = kScoreThreads<kC>, kTiles = kC / 16;
  const auto& shape = args.shape;
  const int columns = static_cast<int>(delta_rule_padded(shape.d_k));
  SharedMemory shared;
  E* const q = shared.take<E>(kC * tile_stride(columns));
  E* const k = shared.take<E>(kC * tile_stride(columns));
  auto* const gates = shared.take<DeltaRuleGate>(kC);

  const int64_t blocks = shape.value_heads / value_heads, slot = blockIdx.x / blocks;
  const int64_t first = blockIdx.x % blocks * value_heads;
  const int64_t head = first / (shape.value_heads / shape.heads);
  const Piece chunk = piece_of_slot(shape, kC, slot);
  if (chunk.index < 0) return;
  const int width = static_cast<int>(shape.d_k), thread = static_cast<int>(threadIdx.x);
  load_tile<kC>(q, columns, row_of<E>(args.q, chunk.first, head), args.q.step_stride, chunk.steps,
                width, copy_bytes<E>(args.q, width), thread, kThreads);
  load_tile<kC>(k, columns, row_of<E>(args.k, chunk.first, head), args.k.step_stride, chunk.steps,
                width, copy_bytes<E>(args.k, width), thread, kThreads);
  clear_columns<kC>(q, columns, width, thread, kThreads);
  clear_columns<kC>(k, columns, width, thread, kThreads);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();

  const int row = warp_index() / 2 * 16, column = warp_index() % 2 * (kC / 2);
  Sums products[kTiles] = {};
  if (column < row + 16) {
    multiply_add<K::inner, K::inner>(products, rows_of_tile(q, columns), row,
                                     rows_of_tile(k, columns), column, columns);
  }
  for (int64_t j = first; j < first + value_heads; ++j) {
    const int64_t place = slot * shape.value_heads + j;
    for (int i = thread; i < kC; i += kThreads) gates[i] = args.gates[place * kC + i];
    __syncthreads();
    E* const to = static_cast<E*>(args.scores) + place * kC * kC;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int i = row + sum_row(2 * half), from = column + tile * 8 + sum_column(0);
        float p[2];
#pragma unroll
        for (int side = 0; side < 2; ++side) {
          const bool below = from + side <= i;  // before exp: above, it may overflow
          p[side] = below ? products[tile][2 * half + side] * static_cast<float>(shape.scale) *
                                decay_between(gates[i], gates[from + side])
                          : 0.0F;
        }
        store_pack<2>(to + i * kC + from, p);
      }
    }
    __syncthreads();
  }
}

// Value heads of a block: all that read one head, fewer where there are few chunks.
int64_t value_heads_of_block(const DeltaRuleShape& shape) {
  const int64_t all = shape.value_heads / shape.heads;
  const int64_t wanted = 2 * multiprocessors(), units = delta_rule_slots(shape) * shape.heads;
  int64_t each = all;
  while (each > 1 && (all % each != 0 || units * (all / each) < wanted)) --each;
  return each;
}

template <class E, int kC>
Status launch_scores(const DeltaRuleBackward& args, Stream stream) {
  const int64_t each = value_heads_of_block(args.shape);
  const int64_t grid = delta_rule_slots(args.shape) * (args.shape.value_heads / each);
  return launch(scores_kernel<E, kC>, "delta_rule_scores",
                Launch{grid, kScoreThreads<kC>, scores_size<E, kC>(args.shape.d_k).bytes(), stream},
                args, each);
}

}  // namespace

Status delta_rule_scores(const DeltaRuleBackward& args, Stream stream) {
  return by_element(args.shape.element, [&](auto zero) {
    using E = decltype(zero);
    if constexpr (sizeof(E) == 2) {
      if (delta_rule_chunk(args.shape) == 64) return launch_scores<E, 64>(args, stream);
    }
    return launch_scores<E, 32>(args, stream);
  });
}

}  // namespace gamut::cuda
