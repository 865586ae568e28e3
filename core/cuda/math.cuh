// Functions of one number, in float32, that several kernels need.
#pragma once

#include "cuda/device.cuh"

namespace gamut::cuda {

constexpr float kLog2E = 1.4426950408889634F;

// 1 / (1 + exp(-x)), within 3 units in the last place: 0 and 1 at the ends, NaN for NaN.
__device__ inline float sigmoid(float x) {
  return __fdividef(1.0F, 1.0F + exp2f(-x * kLog2E));
}

__device__ inline float silu(float x) {
  return x * sigmoid(x);
}

// d silu(x) / dx, with s = sigmoid(x).
__device__ inline float silu_slope(float x, float s) {
  return s * (1.0F + x * (1.0F - s));
}

}  // namespace gamut::cuda
