// Rotary positions on a GPU; the equation is in rope.h of the folder above.
#pragma once

#include <algorithm>

#include "cuda/types.h"

namespace gamut::cuda {

// "or null" is where something is absent.
struct RopeArgs {
  Element element;         // of x, y, dy, dx
  Element weight_element;  // of weight, d_weight
  Element gain_element;    // of gain, d_gain
  int64_t steps, heads, head_dim;
  int64_t pairs;  // that are turned
  bool interleaved, normalize;
  float eps;
  const void* x;  // [steps, heads, head_dim], steps x_stride apart
  int64_t x_stride;
  const float *cos, *sin;  // [table_steps, pairs]: step i has row i mod table_steps
  int64_t table_steps;
  const void* weight;  // [head_dim] or null
  const void* gain;    // [heads] or null

  void* y;  // [steps, heads, head_dim]; forward

  // backward
  const void* dy;  // [steps, heads, head_dim], steps dy_stride apart
  int64_t dy_stride;
  void* dx;        // [steps, heads, head_dim]
  void* d_weight;  // [head_dim], with a weight
  void* d_gain;    // [heads], with a gain
  float* parts;    // [rope_parts, head_dim + heads], with either: room to work in
};

// Rows of `parts`. They depend on the sizes alone, so that sums are the same on every GPU.
inline int64_t rope_parts(int64_t heads) {
  constexpr int64_t kBlocks = 528;
  return std::max(kBlocks, heads);
}

Status rope_forward(const RopeArgs& args, Stream stream);
Status rope_backward(const RopeArgs& args, Stream stream);

}  // namespace gamut::cuda
