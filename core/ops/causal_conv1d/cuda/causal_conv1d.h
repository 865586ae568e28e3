// The convolution on a GPU; the equation is in causal_conv1d.h of the folder above.
#pragma once

#include <algorithm>

#include "cuda/types.h"

namespace gamut::cuda {

// "or null" is where something is absent.
struct CausalConv1dArgs {
  Element element;         // of x, y, dy, dx
  Element weight_element;  // of taps, bias and their gradients
  int64_t steps, channels, width;
  bool silu;
  // Document i is the steps [offsets[i], offsets[i + 1]) of the flattened batch, none empty; null:
  // every `time` steps are one.
  const int64_t* offsets;
  int64_t documents, time;
  // Above 0: y is divided by sqrt(sum(y^2) + eps), or with clamp by max(|y|, eps), the sum over
  // each head_dim channels. For 4 taps, and head_dim from 8 to 1024; x, y, dy and dx 16-byte
  // aligned, their rows a multiple of 16 bytes apart, as are 8 heads.
  int64_t head_dim;
  float eps;
  bool clamp;

  const void* x;  // [steps, channels], rows x_stride apart
  int64_t x_stride;
  const void* taps;            // [channels, width]
  const void* bias;            // [channels] or null
  const float* initial_state;  // [documents, width - 1, channels] or null

  // forward
  void* y;             // [steps, channels]
  float* final_state;  // as initial_state

  // backward
  const void* dy;  // [steps, channels], rows dy_stride apart
  int64_t dy_stride;
  const float* d_final_state;  // or null
  void* dx;                    // [steps, channels]
  float* d_initial_state;      // or null
  void* d_taps;                // [channels, width]
  void* d_bias;                // [channels] or null
  float* parts;                // [causal_conv1d_parts, channels * (width + 1)]: room to work in
};

// Rows of `parts`. They depend on the sizes alone, so that sums are the same on every GPU.
inline int64_t causal_conv1d_parts(int64_t steps, int64_t channels) {
  constexpr int64_t kBlocks = 528, kColumns = 64, kLeast = 128;
  const int64_t most = std::max<int64_t>(1, kBlocks * kColumns / channels);
  return std::min((steps + kLeast - 1) / kLeast, most);
}

Status causal_conv1d_forward(const CausalConv1dArgs& args, Stream stream);
Status causal_conv1d_backward(const CausalConv1dArgs& args, Stream stream);

}  // namespace gamut::cuda
