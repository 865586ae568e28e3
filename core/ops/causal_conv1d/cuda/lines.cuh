// The few steps that a thread of the convolution keeps: lines of kN channels, as many as there are
// taps. With kW taps they are registers; kW is 0 where the width is known when the kernel runs, and
// then they are in shared memory, a column for every thread.
#pragma once

#include "cuda/pack.cuh"
#include "cuda/part_sums.cuh"

namespace gamut::cuda {

// Calls run(j) for j from 0 to count - 1, of which kW or fewer are unrolled if kW is not 0.
template <int kW, class Run>
__device__ inline void for_each_line(int count, const Run& run) {
  if constexpr (kW > 0) {
#pragma unroll
    for (int j = 0; j < kW; ++j) {
      if (j < count) run(j);
    }
  } else {
    for (int j = 0; j < count; ++j) run(j);
  }
}

template <int kW, int kN>
class Lines {
 public:
  static void add_size(SharedSize& /*shared*/, int /*width*/, int /*threads*/) {}
  __device__ Lines(SharedMemory& /*shared*/, int /*width*/) {}

  __device__ float& operator()(int j, int i) { return values_[j][i]; }
  __device__ void set(int j, const float (&values)[kN]) {
#pragma unroll
    for (int i = 0; i < kN; ++i) values_[j][i] = values[i];
  }
  // Every line but the last becomes the one after it.
  __device__ void shift(int /*width*/) {
#pragma unroll
    for (int j = 0; j + 1 < kW; ++j) {
#pragma unroll
      for (int i = 0; i < kN; ++i) values_[j][i] = values_[j + 1][i];
    }
  }
  __device__ void clear(int /*width*/) {
#pragma unroll
    for (int j = 0; j < kW; ++j) {
#pragma unroll
      for (int i = 0; i < kN; ++i) values_[j][i] = 0;
    }
  }

 private:
  float values_[kW][kN];
};

template <>
class Lines<0, 1> {
 public:
  static void add_size(SharedSize& shared, int width, int threads) {
    shared.add<float>(static_cast<int64_t>(width) * threads);
  }
  __device__ Lines(SharedMemory& shared, int width)
      : threads_(static_cast<int>(blockDim.x)),
        values_(shared.take<float>(width * threads_) + threadIdx.x) {}

  __device__ float& operator()(int j, int /*i*/) { return values_[j * threads_]; }
  __device__ void set(int j, const float (&values)[1]) { values_[j * threads_] = values[0]; }
  __device__ void shift(int width) {
    for (int j = 0; j + 1 < width; ++j) values_[j * threads_] = values_[(j + 1) * threads_];
  }
  __device__ void clear(int width) {
    for (int j = 0; j < width; ++j) values_[j * threads_] = 0;
  }

 private:
  int threads_;
  float* values_;
};

}  // namespace gamut::cuda
