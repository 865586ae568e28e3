// The activations: every input is read once, every output written once, 16 bytes at a time. A
// thread has four packs of each tensor on the way before it computes.
#include "ops/activation/cuda/activation.h"

#include "cuda/math.cuh"
#include "cuda/pack.cuh"

namespace gamut::cuda {
namespace {

using Args = ActivationArgs;

constexpr int kThreads = 256;
constexpr int kPacks = 4;  // of a thread

// Where a pack lies; none of it (n <= 0) after the last row.
struct Place {
  int64_t row, column, n;
};

// Pack j of this thread. One row, which is usual, needs no division; else one of 64 bits a block
// finds its first row, as such a division costs as much as a pack.
template <int kN>
__device__ Place place_of(const Args& a, int j) {
  const int64_t packs = (a.d + kN - 1) / kN;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * kPacks);
  const int mine = j * kThreads + static_cast<int>(threadIdx.x);
  if (a.rows == 1) return {0, (first + mine) * kN, a.d - (first + mine) * kN};
  const int64_t row = first / packs;
  const auto i = static_cast<uint32_t>(first - row * packs) + mine;
  const uint32_t rows = i / static_cast<uint32_t>(packs);
  const int64_t column = static_cast<int64_t>(i - rows * static_cast<uint32_t>(packs)) * kN;
  return {row + rows, column, row + rows < a.rows ? a.d - column : 0};
}

template <class T>
__device__ const T* at(const void* p, int64_t stride, const Place& place) {
  return static_cast<const T*>(p) + place.row * stride + place.column;
}
template <class T>
__device__ T* at(void* p, int64_t stride, const Place& place) {
  return static_cast<T*>(p) + place.row * stride + place.column;
}

__device__ float relu(float x) {
  return x < 0 ? 0.0F : x;  // NaN stays NaN
}

template <class T, int kN>
__global__ void __launch_bounds__(kThreads) forward(Args a) {
  Pack<T, kN> x[kPacks], up[kPacks] = {};
#pragma unroll
  for (int j = 0; j < kPacks; ++j) {
    const Place p = place_of<kN>(a, j);
    x[j] = load_pack<kN>(at<T>(a.x, a.x_stride, p), p.n);
    if (a.up) up[j] = load_pack<kN>(at<T>(a.up, a.up_stride, p), p.n);
  }
#pragma unroll
  for (int j = 0; j < kPacks; ++j) {
    float u[kN], v[kN];
    unpack<T>(x[j], u);
    unpack<T>(up[j], v);
#pragma unroll
    for (int i = 0; i < kN; ++i) u[i] = a.up ? silu(u[i]) * v[i] : relu(u[i]) * relu(u[i]);
    const Place p = place_of<kN>(a, j);
    store_pack<kN>(at<T>(a.y, a.d, p), u, p.n);
  }
}

template <class T, int kN>
__global__ void __launch_bounds__(kThreads) backward(Args a) {
  Pack<T, kN> x[kPacks], up[kPacks] = {}, dy[kPacks];
#pragma unroll
  for (int j = 0; j < kPacks; ++j) {
    const Place p = place_of<kN>(a, j);
    x[j] = load_pack<kN>(at<T>(a.x, a.x_stride, p), p.n);
    dy[j] = load_pack<kN>(at<T>(a.dy, a.dy_stride, p), p.n);
    if (a.up) up[j] = load_pack<kN>(at<T>(a.up, a.up_stride, p), p.n);
  }
#pragma unroll
  for (int j = 0; j < kPacks; ++j) {
    float u[kN], v[kN], d[kN];
    unpack<T>(x[j], u);
    unpack<T>(up[j], v);
    unpack<T>(dy[j], d);
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      const float s = sigmoid(u[i]), slope = a.up ? v[i] * silu_slope(u[i], s) : 2 * relu(u[i]);
      v[i] = d[i] * u[i] * s;
      d[i] *= slope;
    }
    const Place p = place_of<kN>(a, j);
    store_pack<kN>(at<T>(a.dx, a.d, p), d, p.n);
    if (a.up) store_pack<kN>(at<T>(a.d_up, a.d, p), v, p.n);
  }
}

template <class T, int kN>
Status run(const Args& a, Stream stream, bool is_backward) {
  const int64_t packs = a.rows * ((a.d + kN - 1) / kN);
  const Launch how{(packs + kThreads * kPacks - 1) / (kThreads * kPacks), kThreads, 0, stream};
  return is_backward ? launch(backward<T, kN>, "activation_backward", how, a)
                     : launch(forward<T, kN>, "activation_forward", how, a);
}

Status run(Args a, Stream stream, bool is_backward) {
  const bool together =
      a.x_stride == a.d && (!a.up || a.up_stride == a.d) && (!is_backward || a.dy_stride == a.d);
  if (together) {
    a.d *= a.rows;
    a.rows = 1;
  }
  if (a.rows > 1 && a.d > INT32_MAX) return {"activation", "rows of more than 2^31 - 1 elements"};
  const int64_t size = a.rows == 1 ? 0 : bytes_of(a.element);  // one row has no distances
  const bool wide =
      are_aligned(16, {a.x, a.up, a.y, a.dy, a.dx, a.d_up},
                  {a.x_stride * size, a.up_stride * size, a.dy_stride * size, a.d * size});
  return by_element(a.element, [&](auto zero) {
    using T = decltype(zero);
    return wide ? run<T, kWidePack<T>>(a, stream, is_backward) : run<T, 1>(a, stream, is_backward);
  });
}

}  // namespace

Status activation_forward(const ActivationArgs& args, Stream stream) {
  return run(args, stream, false);
}

Status activation_backward(const ActivationArgs& args, Stream stream) {
  return run(args, stream, true);
}

}  // namespace gamut::cuda
