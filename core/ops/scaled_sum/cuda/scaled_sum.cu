// Weighted sums: a block has some neighbouring packs of channels, whose weights its threads keep,
// and goes through rows, several at a time. The weights' gradients are added up on the way.
#include "ops/scaled_sum/cuda/scaled_sum.h"

#include "cuda/pack.cuh"
#include "cuda/part_sums.cuh"

namespace gamut::cuda {
namespace {

using Args = ScaledSumArgs;

constexpr int kThreads = 256;
constexpr int kAhead = 4;  // rows of a thread that are on the way

// `columns` packs beside each other, kThreads / columns rows at a time.
struct Plan {
  int columns;
  int64_t across, parts;  // blocks of columns; blocks of rows
};

struct Place {
  int column, row_in_block, rows;
  int64_t channel, part;
  bool valid;

  __device__ Place(const Args& a, const Plan& plan, int pack)
      : column(static_cast<int>(threadIdx.x) % plan.columns),
        row_in_block(static_cast<int>(threadIdx.x) / plan.columns),
        rows(kThreads / plan.columns),
        channel((blockIdx.x % static_cast<uint32_t>(plan.across) * int64_t{plan.columns} + column) *
                pack),
        part(blockIdx.x / static_cast<uint32_t>(plan.across)),
        valid(channel < a.d) {}
};

// The weights of a thread's channels, rounded as LibTorch's composition of the operator has them.
template <class T, int kN>
__device__ void load_weights(const void* p, Element element, const Place& place, float (&w)[kN]) {
#pragma unroll
  for (int i = 0; i < kN; ++i) {
    w[i] =
        p && place.valid ? to_float(from_float<T>(load_element(p, element, place.channel + i))) : 1;
  }
}

template <class T, int kN>
__device__ Pack<T, kN> load(const void* p, int64_t stride, const Args& a, const Place& place,
                            int64_t row) {
  return load_pack_if<kN>(p && place.valid && row < a.rows,
                          static_cast<const T*>(p) + row * stride + place.channel);
}

template <class T, int kN>
__global__ void __launch_bounds__(kThreads) forward(Args a, Plan plan) {
  const Place place(a, plan, kN);
  float of_x[kN], of_y[kN];
  load_weights<T>(a.a, a.a_element, place, of_x);
  load_weights<T>(a.b, a.b_element, place, of_y);
  const int64_t together = plan.parts * place.rows;
  for (int64_t first = place.part * place.rows + place.row_in_block; first < a.rows;
       first += kAhead * together) {
    Pack<T, kN> x[kAhead], y[kAhead];
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      x[j] = load<T, kN>(a.x, a.x_stride, a, place, first + j * together);
      y[j] = load<T, kN>(a.y, a.y_stride, a, place, first + j * together);
    }
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      const int64_t row = first + j * together;
      float u[kN], v[kN];
      unpack<T>(x[j], u);
      unpack<T>(y[j], v);
#pragma unroll
      for (int i = 0; i < kN; ++i) u[i] = of_x[i] * u[i] + of_y[i] * v[i];
      if (place.valid && row < a.rows) {
        store_pack<kN>(static_cast<T*>(a.z) + row * a.d + place.channel, u);
      }
    }
  }
}

// Adds up the sums of a block's rows: `to` gets those of its channels.
template <int kN>
__device__ void write_sums(float* all, const float (&sums)[kN], const Plan& plan,
                           const Place& place, float* to) {
#pragma unroll
  for (int i = 0; i < kN; ++i) all[static_cast<int>(threadIdx.x) * kN + i] = sums[i];
  __syncthreads();
  if (place.row_in_block == 0 && place.valid) {
    for (int i = 0; i < kN; ++i) {
      float sum = 0;
      for (int r = 0; r < place.rows; ++r) sum += all[(r * plan.columns + place.column) * kN + i];
      to[place.channel + i] = sum;
    }
  }
  __syncthreads();
}

template <class T, int kN>
__global__ void __launch_bounds__(kThreads) backward(Args a, Plan plan) {
  SharedMemory shared;
  const Place place(a, plan, kN);
  float of_x[kN], of_y[kN], d_a[kN] = {}, d_b[kN] = {};
  load_weights<T>(a.a, a.a_element, place, of_x);
  load_weights<T>(a.b, a.b_element, place, of_y);
  const int64_t together = plan.parts * place.rows;
  const void* const x_of = a.a ? a.x : nullptr;  // needed for the weights' gradients alone
  const void* const y_of = a.b ? a.y : nullptr;
  for (int64_t first = place.part * place.rows + place.row_in_block; first < a.rows;
       first += kAhead * together) {
    Pack<T, kN> x[kAhead], y[kAhead], dz[kAhead];
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      const int64_t row = first + j * together;
      dz[j] = load<T, kN>(a.dz, a.dz_stride, a, place, row);
      x[j] = load<T, kN>(x_of, a.x_stride, a, place, row);
      y[j] = load<T, kN>(y_of, a.y_stride, a, place, row);
    }
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      const int64_t row = first + j * together, at = row * a.d + place.channel;
      float u[kN], v[kN], d[kN];
      unpack<T>(x[j], u);
      unpack<T>(y[j], v);
      unpack<T>(dz[j], d);
#pragma unroll
      for (int i = 0; i < kN; ++i) {
        d_a[i] += d[i] * u[i];
        d_b[i] += d[i] * v[i];
        u[i] = d[i] * of_x[i];
        v[i] = d[i] * of_y[i];
      }
      if (!place.valid || row >= a.rows) continue;
      if (a.dx) store_pack<kN>(static_cast<T*>(a.dx) + at, u);
      if (a.dy) store_pack<kN>(static_cast<T*>(a.dy) + at, v);
    }
  }
  if (!a.parts) return;
  auto* const all = shared.take<float>(kThreads * kN);
  write_sums(all, d_a, plan, place, a.parts + place.part * 2 * a.d);
  write_sums(all, d_b, plan, place, a.parts + (place.part * 2 + 1) * a.d);
}

template <class T, int kN>
Status run(const Args& a, Stream stream, bool is_backward) {
  constexpr int64_t kMost = 64;  // columns of a block
  const int64_t packs = a.d / kN;
  Plan plan{};
  plan.columns = 1;
  while (plan.columns < kMost && plan.columns < packs) plan.columns *= 2;
  plan.across = (packs + plan.columns - 1) / plan.columns;
  const int64_t rows = kThreads / plan.columns, needed = (a.rows + rows - 1) / rows;
  const int64_t most = is_backward ? scaled_sum_parts(a.rows) : 16L * multiprocessors();
  plan.parts = std::min(needed, std::max<int64_t>(1, most / plan.across));
  SharedSize shared;
  if (is_backward) shared.add<float>(kThreads * kN);
  const Launch how{plan.across * plan.parts, kThreads, shared.bytes(), stream};
  if (!is_backward) return launch(forward<T, kN>, "scaled_sum_forward", how, a, plan);
  const Status status = launch(backward<T, kN>, "scaled_sum_backward", how, a, plan);
  if (!status.ok() || !a.parts) return status;
  return sum_parts(
      {a.parts, plan.parts, 2 * a.d, {a.d_a, a.a_element, a.d}, {a.d_b, a.b_element, a.d}}, stream);
}

Status run(const Args& a, Stream stream, bool is_backward) {
  return by_element(a.element, [&](auto zero) {
    using T = decltype(zero);
    const int64_t size = sizeof(T);
    const bool wide =
        are_aligned(16, {a.x, a.y, a.z, a.dz, a.dx, a.dy},
                    {a.x_stride * size, a.y_stride * size, a.dz_stride * size, a.d * size});
    return wide ? run<T, kWidePack<T>>(a, stream, is_backward) : run<T, 1>(a, stream, is_backward);
  });
}

}  // namespace

Status scaled_sum_forward(const ScaledSumArgs& args, Stream stream) {
  return run(args, stream, false);
}

Status scaled_sum_backward(const ScaledSumArgs& args, Stream stream) {
  return run(args, stream, true);
}

}  // namespace gamut::cuda
