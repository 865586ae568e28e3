// What chunks need before the states are known: running sums of their gates, and the inverse
// (I + A)^-1 with A = strict_tril(diag(beta) K K^T . Gam). A block of threads is a chunk and value
// head.
//
// The inverse is taken with its decay. Without it (Gam applied to the inverse of the ungated
// matrix) entries grow as the recurrence would without gates: out of range for long keys whose
// gates are strong, where the operator itself is harmless.
#include "ops/gated_delta_rule/cuda/tiles.cuh"

namespace gamut::cuda {
namespace {

constexpr int kThreads = 128;

// A log decay below this is as good as -infinity, whose differences would be NaN.
constexpr float kLeastGate = -1e4F;
constexpr double kLog2E = 1.4426950408889634;

// Shared memory of a block.
template <class E, int kC>
struct PrepareTiles {
  DeltaRuleGate* gates;  // [C]
  E* keys;               // [C, d_k padded]
  float* a;              // [C, C]
  float* diagonal;       // [C, 16]: inverses of the diagonal blocks
  E* inverse;            // [C, C]

  __device__ PrepareTiles(SharedMemory& shared, int d_k) {
    gates = shared.take<DeltaRuleGate>(kC);
    keys = shared.take<E>(kC * tile_stride(d_k));
    a = shared.take<float>(kC * tile_stride(kC));
    diagonal = shared.take<float>(kC * tile_stride(16));
    inverse = shared.take<E>(kC * tile_stride(kC));
  }
  static size_t bytes(int d_k) {
    SharedSize size;
    size.add<DeltaRuleGate>(kC).template add<E>(kC * tile_stride(d_k));
    size.add<float>(kC * tile_stride(kC)).template add<float>(kC * tile_stride(16));
    return size.add<E>(kC * tile_stride(kC)).bytes();
  }
};

// The gates of a chunk, by the first warp: sums in double, C / 32 steps a lane.
template <int kC>
__device__ void sum_gates(const DeltaRuleForward& args, const Piece& chunk, int64_t head,
                          DeltaRuleGate* gates) {
  constexpr int kEach = kC / kWarp;
  const int lane = lane_index();
  double sums[kEach], total = 0;
  float beta[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int step = lane * kEach + i;
    const bool inside = step < chunk.steps;
    const int64_t at = (chunk.first + step) * args.shape.value_heads + head;
    const float g = inside ? args.g[at] : 0.0F;
    total += g < kLeastGate ? kLeastGate : g;
    sums[i] = total;
    beta[i] = inside ? args.beta[at] : 0.0F;
  }
  double before = total;  // becomes the sum of all lanes up to this one
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const double other = __shfl_up_sync(0xffffffff, before, distance);
    if (lane >= distance) before += other;
  }
  const double end = __shfl_sync(0xffffffff, before, kWarp - 1);
  before -= total;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const double sum = (before + sums[i]) * kLog2E;
    const auto high = static_cast<float>(sum);
    gates[lane * kEach + i] = {high, static_cast<float>(sum - high), beta[i],
                               exp2f(static_cast<float>(end * kLog2E - sum))};
  }
}

// A in shared memory, blocks on and below the diagonal.
template <class E, int kC>
__device__ void multiply_keys(const PrepareTiles<E, kC>& tiles, int d_k) {
  const Rows<E> keys{tiles.keys, tile_stride(d_k)};
  for (int block = warp_index(); block < Triangle<kC>::kBlocks; block += kThreads / kWarp) {
    const Triangle<kC> at(block);
    Sums sums[2] = {};
    multiply_add<K::inner, K::inner>(sums, keys, at.row * 16, keys, at.column * 16, d_k);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int row = at.row * 16 + sum_row(i % 4);
      const int column = at.column * 16 + i / 4 * 8 + sum_column(i % 4);
      const DeltaRuleGate& gate = tiles.gates[row];
      tiles.a[row * tile_stride(kC) + column] =
          column < row ? gate.beta * decay_between(gate, tiles.gates[column]) * sums[i / 4][i % 4]
                       : 0.0F;
    }
  }
}

// The inverse of I + A for the 16 x 16 block on the diagonal that is this warp's, a column a lane.
template <class E, int kC>
__device__ void invert_diagonal(const PrepareTiles<E, kC>& tiles, int block) {
  const int column = lane_index() % 16;
  const float* a = tiles.a + block * 16 * (tile_stride(kC) + 1);
  float x[16];
#pragma unroll
  for (int row = 0; row < 16; ++row) {
    float sum = row == column ? 1.0F : 0.0F;
#pragma unroll
    for (int k = 0; k < row; ++k) sum -= a[row * tile_stride(kC) + k] * x[k];
    x[row] = sum;
  }
  if (lane_index() >= 16) return;
#pragma unroll
  for (int row = 0; row < 16; ++row) {
    tiles.diagonal[(block * 16 + row) * tile_stride(16) + column] = x[row];
  }
}

// A block of the inverse, given transposed.
template <class E, int kC>
__device__ void store_block(const PrepareTiles<E, kC>& tiles, const Sums (&block)[2], int row,
                            int column) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int to_row = row * 16 + i / 4 * 8 + sum_column(i % 4);
    tiles.inverse[to_row * tile_stride(kC) + column * 16 + sum_row(i % 4)] =
        static_cast<E>(block[i / 4][i % 4]);
  }
}

// Blocks (column, column), (column + 1, column), ... of the inverse X of I + A, by one warp:
//   X_ij = -D_i sum_{j <= l < i} A_il X_lj,  D_i = X_ii
// transposed, so that each product is the left operand of the next.
template <class E, int kC>
__device__ void invert_column(const PrepareTiles<E, kC>& tiles, int column) {
  constexpr int kSide = kC / 16;
  const Rows<float> a{tiles.a, tile_stride(kC)}, diagonal{tiles.diagonal, tile_stride(16)};
  Sums x[kSide][2];
  load_transposed(x[0][0], x[0][1], diagonal, 0, column * 16);
  store_block(tiles, x[0], column, column);
#pragma unroll
  for (int below = 1; below < kSide; ++below) {
    const int row = column + below;
    if (row >= kSide) break;
    Sums sum[2] = {};
#pragma unroll
    for (int l = 0; l < below; ++l) {
      multiply_add<K::inner, float>(sum, x[l], a, row * 16, (column + l) * 16);
    }
    Sums product[2] = {};
    multiply_add<K::inner, float>(product, sum, diagonal, row * 16);
#pragma unroll
    for (int i = 0; i < 8; ++i) x[below][i / 4][i % 4] = -product[i / 4][i % 4];
    store_block(tiles, x[below], row, column);
  }
}

// The blocks on and below the diagonal; nobody reads the others.
template <class E, int kC>
__device__ void write_inverse(const PrepareTiles<E, kC>& tiles, E* to) {
  constexpr int kVector = 16 / sizeof(E), kVectors = kC / kVector;
  for (int i = threadIdx.x; i < kC * kVectors; i += kThreads) {
    const int row = i / kVectors, column = i % kVectors * kVector;
    if (column / 16 > row / 16) continue;
    *reinterpret_cast<uint4*>(to + row * kC + column) =
        *reinterpret_cast<const uint4*>(tiles.inverse + row * tile_stride(kC) + column);
  }
}

template <class E, int kC>
__global__ void __launch_bounds__(kThreads)
    delta_rule_prepare_kernel(const DeltaRuleForward args, const int bytes) {
  const auto& shape = args.shape;
  const int64_t head = blockIdx.x % shape.value_heads, slot = blockIdx.x / shape.value_heads;
  const Piece chunk = piece_of_slot(shape, kC, slot);
  if (chunk.index < 0 || chunk.steps == 0) return;
  const int d_k = static_cast<int>(delta_rule_padded(shape.d_k));
  SharedMemory shared;
  const PrepareTiles<E, kC> tiles(shared, d_k);
  if (shape.solve) {
    const int64_t key_head = head / (shape.value_heads / shape.heads);
    const int width = static_cast<int>(shape.d_k);
    load_tile<kC>(tiles.keys, d_k, row_of<E>(args.k, chunk.first, key_head), args.k.step_stride,
                  static_cast<int>(chunk.steps), width, bytes, threadIdx.x, kThreads);
    clear_columns<kC>(tiles.keys, d_k, width, threadIdx.x, kThreads);
    copy_async_commit();
  }
  if (warp_index() == 0) sum_gates<kC>(args, chunk, head, tiles.gates);
  copy_async_wait<0>();
  __syncthreads();
  if (threadIdx.x < kC)
    args.gates[blockIdx.x * int64_t{kC} + threadIdx.x] = tiles.gates[threadIdx.x];
  if (!shape.solve) return;
  multiply_keys(tiles, d_k);
  __syncthreads();
  if (warp_index() < kC / 16) invert_diagonal(tiles, warp_index());
  __syncthreads();
  if (warp_index() < kC / 16) invert_column(tiles, warp_index());
  __syncthreads();
  write_inverse(tiles, static_cast<E*>(args.inverse) + blockIdx.x * int64_t{kC * kC});
}

template <class E, int kC>
Status prepare(const DeltaRuleForward& args, Stream stream) {
  const auto& shape = args.shape;
  const auto d_k = static_cast<int>(delta_rule_padded(shape.d_k));
  const Launch how{delta_rule_slots(shape) * shape.value_heads, kThreads,
                   PrepareTiles<E, kC>::bytes(d_k), stream};
  return launch(delta_rule_prepare_kernel<E, kC>, "delta_rule_prepare", how, args,
                copy_bytes<E>(args.k, shape.d_k));
}

}  // namespace

Status delta_rule_prepare(const DeltaRuleForward& args, Stream stream) {
  const bool is_long = delta_rule_chunk(args.shape) == 64;
  switch (args.shape.element) {
    case Element::float32:
      return prepare<float, 32>(args, stream);
    case Element::bfloat16:
      return is_long ? prepare<__nv_bfloat16, 64>(args, stream)
                     : prepare<__nv_bfloat16, 32>(args, stream);
    case Element::float16:
      return is_long ? prepare<__half, 64>(args, stream) : prepare<__half, 32>(args, stream);
  }
  return {"delta_rule_prepare", "no such element type"};
}

}  // namespace gamut::cuda
