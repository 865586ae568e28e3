// The convolution of a strip: a few channels, one step after the other, with the inputs that are
// still needed; and how all of it is cut among blocks and threads.
#pragma once

#include "ops/causal_conv1d/cuda/causal_conv1d.h"
#include "ops/causal_conv1d/cuda/documents.cuh"
#include "ops/causal_conv1d/cuda/heads.cuh"
#include "ops/causal_conv1d/cuda/lines.cuh"

namespace gamut::cuda {

constexpr int kConvAhead = 4;  // steps whose inputs are on the way

// How the work is cut.
struct ConvPlan {
  int threads, columns;                 // packs of channels beside each other in a block
  int64_t blocks_across, parts, steps;  // blocks of columns; blocks of runs; steps of a run
};

// Where a thread is.
struct ConvPlace {
  int column, run, runs;  // in the block
  int64_t part, channel, first_channel;
  bool valid;

  __device__ ConvPlace(const CausalConv1dArgs& a, const ConvPlan& plan, int pack)
      : column(static_cast<int>(threadIdx.x) % plan.columns),
        run(static_cast<int>(threadIdx.x) / plan.columns),
        runs(plan.threads / plan.columns),
        part(blockIdx.x / static_cast<uint32_t>(plan.blocks_across)),
        first_channel(blockIdx.x % static_cast<uint32_t>(plan.blocks_across) *
                      static_cast<int64_t>(plan.columns) * pack) {
    channel = first_channel + static_cast<int64_t>(column) * pack;
    valid = run < runs && channel < a.channels;
  }
};

// The inputs of one pack of channels: T is their type, kW the width or 0.
template <class T, int kW, int kN>
struct Strip {
  const CausalConv1dArgs& a;
  const ConvPlace& place;
  Lines<kW, kN> taps, x;  // x: inputs from step - (width - 1) to step
  float bias[kN];

  __device__ Strip(const CausalConv1dArgs& args, const ConvPlace& where, SharedMemory& shared)
      : a(args), place(where), taps(shared, width()), x(shared, width()) {
    for_each_line<kW>(width(), [&](int j) {
#pragma unroll
      for (int i = 0; i < kN; ++i) {
        taps(j, i) = place.valid ? weight(a.taps, (place.channel + i) * width() + j) : 0;
      }
    });
#pragma unroll
    for (int i = 0; i < kN; ++i) bias[i] = place.valid ? weight(a.bias, place.channel + i) : 0;
  }

  __device__ int width() const { return kW ? kW : static_cast<int>(a.width); }
  __device__ float weight(const void* p, int64_t i) const {
    return p ? load_element(p, a.weight_element, i) : 0;
  }
  __device__ const T* row(const void* p, int64_t stride, int64_t step) const {
    return static_cast<const T*>(p) + step * stride + place.channel;
  }
  // Row k of the state of a document, [documents, width - 1, channels].
  __device__ int64_t state(const Document& document, int64_t k) const {
    return (document.index * (width() - 1) + k) * a.channels + place.channel;
  }

  // Row k of the state before a document.
  __device__ void load_state(const Document& document, int64_t k, float (&values)[kN]) const {
    if (a.initial_state) return load_floats(a.initial_state + state(document, k), values);
#pragma unroll
    for (int i = 0; i < kN; ++i) values[i] = 0;
  }

  // The inputs before a step of a document: lines 0 to width - 2. The first may be from the state.
  __device__ void enter(const Document& document, int64_t step) {
    const int64_t known = step - document.begin;  // inputs of the document before it
    for_each_line<kW>(width() - 1, [&](int j) {
      const int64_t back = width() - 1 - j;
      float values[kN];
      if (back <= known) {
        unpack<T>(load_pack<kN>(row(a.x, a.x_stride, step - back)), values);
      } else {
        load_state(document, j + known, values);
      }
      x.set(j, values);
    });
  }

  // The state after a document: lines 0 to width - 2.
  __device__ void leave(const Document& document) {
    for_each_line<kW>(width() - 1, [&](int j) {
      float values[kN];
#pragma unroll
      for (int i = 0; i < kN; ++i) values[i] = x(j, i);
      store_floats(a.final_state + state(document, j), values);
    });
  }

  // The sums before SiLU at the step whose input is `in`, which becomes the last line.
  __device__ void convolve(const Pack<T, kN>& in, float (&sums)[kN]) {
    float values[kN];
    unpack<T>(in, values);
    x.set(width() - 1, values);
#pragma unroll
    for (int i = 0; i < kN; ++i) sums[i] = bias[i];
    for_each_line<kW>(width(), [&](int j) {
#pragma unroll
      for (int i = 0; i < kN; ++i) sums[i] += taps(j, i) * x(j, i);
    });
  }
};

// Runs of equal length, long enough that what they read before them is little, as many as there are
// threads.
inline ConvPlan plan_of(const CausalConv1dArgs& a, int pack, int threads, bool is_backward) {
  constexpr int64_t kShortest = 8, kLongest = 64, kColumns = 16;
  ConvPlan plan{};
  plan.threads = threads;
  plan.columns = kColumns;
  if (a.head_dim > 0) {
    int64_t channels = a.head_dim;  // of whole heads and whole packs
    while (channels % pack != 0) channels += a.head_dim;
    const int64_t columns = channels / pack;
    plan.columns = static_cast<int>((kColumns + columns - 1) / columns * columns);
    plan.threads = std::max(threads, plan.columns);
  }
  const int64_t across = static_cast<int64_t>(plan.columns) * pack;
  plan.blocks_across = (a.channels + across - 1) / across;
  const int64_t runs = plan.threads / plan.columns;
  plan.parts = causal_conv1d_parts(a.steps, a.channels);
  if (!is_backward) plan.parts = (a.steps + runs * kShortest - 1) / (runs * kShortest);
  const int64_t slots = plan.parts * runs, rounds = (a.steps - 1) / (slots * kLongest) + 1;
  plan.steps = std::max(kShortest, (a.steps - 1) / (slots * rounds) + 1);
  plan.steps = (plan.steps + kConvAhead - 1) / kConvAhead * kConvAhead;
  return plan;
}

// Whether packs of kN elements of T can be read and written everywhere.
template <class T, int kN>
bool has_packs(const CausalConv1dArgs& a) {
  constexpr int kBytes = kN * static_cast<int>(sizeof(T));
  const int64_t size = sizeof(T);
  return are_aligned(kBytes, {a.x, a.y, a.dy, a.dx},
                     {a.x_stride * size, a.dy_stride * size, a.channels * size}) &&
         are_aligned(16, {a.initial_state, a.final_state, a.d_initial_state, a.d_final_state}, {});
}

// Of heads that packs cannot be cut into.
inline Status no_norm() {
  return {"causal_conv1d", "heads of this size or alignment cannot be normalised"};
}

}  // namespace gamut::cuda
