// Sums over the channels of each head at one step, for the threads of a block that have the packs
// of whole heads. A pack may have the end of one head and the beginning of the next.
#pragma once

#include "cuda/math.cuh"
#include "cuda/pack.cuh"
#include "ops/causal_conv1d/cuda/causal_conv1d.h"

namespace gamut::cuda {

template <int kN, bool kNormed>
class HeadSums {
 public:
  static void add_size(SharedSize& shared, int64_t head_dim, int columns, int runs) {
    if (!kNormed) return;
    const int heads = columns * kN / static_cast<int>(head_dim);
    shared.add<float2>(2 * columns * runs).add<float2>(heads * runs);
  }

  __device__ HeadSums(SharedMemory& shared, int64_t head_dim, int column, int run, int columns,
                      int runs) {
    if constexpr (!kNormed) return;
    head_dim_ = static_cast<int>(head_dim);
    columns_ = columns, runs_ = runs, column_ = column, run_ = run;
    heads_ = columns * kN / head_dim_;
    head_ = column * kN / head_dim_;
    of_first_ = min(kN, (head_ + 1) * head_dim_ - column * kN);
    parts_ = shared.take<float2>(2 * columns * runs);
    sums_ = shared.take<float2>(heads_ * runs);
  }

  // y / |y| of each head, as the arguments have it.
  __device__ void normalize(const CausalConv1dArgs& a, bool is_there, float (&y)[kN]) {
    float2 sums[2];
    add(is_there, y, y, sums);
    const float first = scale(a, sums[0].x), second = scale(a, sums[1].x);
#pragma unroll
    for (int i = 0; i < kN; ++i) y[i] *= i < of_first_ ? first : second;
  }

  // The gradient of that becomes the gradient of y, r (d - y r^2 <d, y>), where y is SiLU of `sum`
  // or that itself.
  __device__ void differentiate(const CausalConv1dArgs& a, bool is_there, const float (&sum)[kN],
                                float (&d)[kN]) {
    float2 sums[2];
    float y[kN];
#pragma unroll
    for (int i = 0; i < kN; ++i) y[i] = a.silu ? silu(sum[i]) : sum[i];
    add(is_there, y, d, sums);
    float r[2], along[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      r[h] = scale(a, sums[h].x);
      // A clamped r does not depend on y.
      const bool constant = a.clamp && r[h] == __fdividef(1.0F, a.eps);
      along[h] = constant ? 0 : r[h] * r[h] * sums[h].y;
    }
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      const bool is_first = i < of_first_;
      d[i] = (is_first ? r[0] : r[1]) * (d[i] - y[i] * (is_first ? along[0] : along[1]));
    }
  }

 private:
  __device__ static float scale(const CausalConv1dArgs& a, float squares) {
    if (!a.clamp) return rsqrtf(squares + a.eps);
    const float r = rsqrtf(squares), most = __fdividef(1.0F, a.eps);
    return r > most ? most : r;  // NaN stays NaN
  }

  // sum(y^2) and sum(y d) over the head of the pack's first element and over the next one. Every
  // thread of the block comes here.
  __device__ void add(bool is_there, const float (&y)[kN], const float (&d)[kN],
                      float2 (&sums)[2]) {
    float2 first = make_float2(0, 0), second = make_float2(0, 0);
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      const float square = is_there ? y[i] * y[i] : 0, along = is_there ? y[i] * d[i] : 0;
      const bool is_first = i < of_first_;
      first.x += is_first ? square : 0;
      first.y += is_first ? along : 0;
      second.x += is_first ? 0 : square;
      second.y += is_first ? 0 : along;
    }
    if (run_ < runs_) {
      float2* const to = parts_ + 2 * (run_ * columns_ + column_);
      to[0] = first;
      to[1] = second;
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < runs_ * heads_;
         i += static_cast<int>(blockDim.x)) {
      const int head = i % heads_, begin = head * head_dim_;
      const float2* const from = parts_ + 2 * (i / heads_) * columns_;
      float2 sum = make_float2(0, 0);
      for (int c = begin / kN; c * kN < begin + head_dim_; ++c) {
        const float2 part = from[2 * c + (c * kN < begin ? 1 : 0)];
        sum.x += part.x;
        sum.y += part.y;
      }
      sums_[i] = sum;
    }
    __syncthreads();
    sums[0] = sums[1] = make_float2(0, 0);
    if (run_ >= runs_) return;
    sums[0] = sums_[run_ * heads_ + head_];
    if (of_first_ < kN) sums[1] = sums_[run_ * heads_ + head_ + 1];
  }

  int head_dim_, columns_, runs_, column_, run_;
  int heads_, head_, of_first_;  // of the block; of the pack's first element; its elements
  float2 *parts_, *sums_;        // [run, column, 2], [run, head]
};

}  // namespace gamut::cuda
