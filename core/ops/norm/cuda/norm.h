// The norms on a GPU; the equations are in norm.h of the folder above.
#pragma once

#include <algorithm>

#include "cuda/types.h"

namespace gamut::cuda {

// Rows of d = groups * size elements. "or null" is where something is absent.
struct NormArgs {
  Element element;         // of x, y, dy, dx
  Element gate_element;    // of gate, d_gate
  Element weight_element;  // of weight, d_weight
  int64_t rows, groups, size;
  float eps, share;  // r = 1 / sqrt(share sum(u^2) + eps): 1 / size for a mean, 1 for a sum
  bool clamp;        // instead r = 1 / max(sqrt(share sum(u^2)), eps)
  bool gate_first;
  const void* x;  // [rows, d], rows x_stride apart
  int64_t x_stride;
  const void* gate;  // [rows, d] or null
  int64_t gate_stride;
  const void* weight;  // [d] or null

  void* y;  // [rows, d]; forward

  // backward
  const void* dy;  // [rows, d], rows dy_stride apart
  int64_t dy_stride;
  void* dx;        // [rows, d]
  void* d_gate;    // [rows, d], with a gate
  void* d_weight;  // [d], with a weight
  float* parts;    // [norm_parts, d], with a weight: room to work in
};

// Rows of `parts`. They depend on the sizes alone, so that sums are the same on every GPU.
inline int64_t norm_parts(int64_t rows, int64_t groups) {
  constexpr int64_t kBlocks = 528;
  return std::min(rows, std::max<int64_t>(1, kBlocks / groups));
}

Status norm_forward(const NormArgs& args, Stream stream);
Status norm_backward(const NormArgs& args, Stream stream);

}  // namespace gamut::cuda
