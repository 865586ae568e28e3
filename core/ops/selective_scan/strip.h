// What the kernels of the scan share: a register of channels of one task. For *.isa.cpp alone.
#pragma once

#include "ops/selective_scan/kernel.h"
#include "ops/simd/sum_of.h"
#include "ops/simd/vec.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;

// Channels [c, c + n) of the tensors of a call whose elements are E. Lanes from n on read zeros,
// and are not written.
template <class E>
struct Strip {
  using S = typename SumOf<E>::type;
  using V = Vec<S>;
  static constexpr int64_t kWidth = kLanes<S>;

  const SelectiveScanArguments& a;
  int64_t c;
  int n;

  Strip(const SelectiveScanArguments& arguments, int64_t block)
      : a(arguments), c(arguments.first_channel + block * kWidth) {
    const int64_t left = arguments.n_channels - block * kWidth;
    n = static_cast<int>(left < kWidth ? left : kWidth);
  }

  template <class F>
  V take(const F* p) const {
    return n == kWidth ? load(p) : load_first(p, n);
  }
  template <class F>
  void put(F* p, V v) const {
    if (n == kWidth) return store(p, v);
    store_first(p, v, n);
  }

  const E* row(const void* p, int64_t step, int64_t stride) const {
    return static_cast<const E*>(p) + step * stride + c;
  }
  V take_row(const void* p, int64_t step, int64_t stride) const {
    return take(row(p, step, stride));
  }
  void put_row(void* p, int64_t step, V v) const {
    put(static_cast<E*>(p) + step * a.channels + c, v);
  }
  // Begins to bring this strip's part of a row, or of the strip `ahead` channels further, to the
  // second cache.
  void prefetch(const void* p, int64_t step, int64_t stride, int64_t ahead) const {
    __builtin_prefetch(row(p, step, stride) + ahead, 0, 2);
  }
  void prefetch_to_write(const void* p, int64_t step) const {
    __builtin_prefetch(row(p, step, a.channels), 1, 2);
  }

  // One number a channel; zeros when there is none.
  V take_vector(const void* p) const { return p ? take(static_cast<const S*>(p) + c) : V{}; }
  void put_vector(void* p, V v) const { put(static_cast<S*>(p) + c, v); }

  // Matrix i of [.., channels, states] to [padded_states][kWidth], zeros where there is nothing.
  void take_matrix(const void* p, int64_t i, S* to) const {
    for (int64_t k = 0; k < a.padded_states * kWidth; ++k) to[k] = 0;
    if (!p) return;
    const S* from = static_cast<const S*>(p) + (i * a.channels + c) * a.states;
    for (int64_t lane = 0; lane < n; ++lane) {
      for (int64_t k = 0; k < a.states; ++k) to[k * kWidth + lane] = from[lane * a.states + k];
    }
  }
  void put_matrix(void* p, int64_t i, const S* from) const {
    S* to = static_cast<S*>(p) + (i * a.channels + c) * a.states;
    for (int64_t lane = 0; lane < n; ++lane) {
      for (int64_t k = 0; k < a.states; ++k) to[lane * a.states + k] = from[k * kWidth + lane];
    }
  }
  // A / log(2).
  void take_rates(S* to) const {
    take_matrix(a.A, 0, to);
    for (int64_t k = 0; k < a.padded_states * kWidth; ++k) to[k] *= static_cast<S>(kLog2E);
  }

  // delta and its derivative by what it was made of.
  Softplus<V> step_size(int64_t step, V bias) const {
    const V raw = take_row(a.delta, step, a.delta_stride) + bias;
    if (a.delta_softplus) return softplus(raw);
    return {raw, splat(static_cast<S>(1))};
  }

  // This strip's place among the kept states, [padded_states][kWidth].
  S* checkpoint(int64_t i) const {
    const int64_t padded = (a.channels + kScanLanes - 1) / kScanLanes * kScanLanes;
    return static_cast<S*>(a.checkpoints) + (i * padded + c) * a.padded_states;
  }
};

// Lane i of every four, summed, is the sum of v_i.
GAMUT_INLINE Vec<float> quarter_sums(const Vec<float>* v) {
#if GAMUT_ISA_LEVEL >= 1
  const auto low = [](Vec<float> a, Vec<float> b) {
    return (Vec<float>)_mm512_maskz_shuffle_ps(0xffff, (__m512)a, (__m512)b, 0x88);
  };
  const auto high = [](Vec<float> a, Vec<float> b) {
    return (Vec<float>)_mm512_maskz_shuffle_ps(0xffff, (__m512)a, (__m512)b, 0xdd);
  };
#else
  const auto low = [](Vec<float> a, Vec<float> b) {
    return (Vec<float>)_mm256_shuffle_ps((__m256)a, (__m256)b, 0x88);
  };
  const auto high = [](Vec<float> a, Vec<float> b) {
    return (Vec<float>)_mm256_shuffle_ps((__m256)a, (__m256)b, 0xdd);
  };
#endif
  const Vec<float> x = low(v[0], v[1]) + high(v[0], v[1]);
  const Vec<float> y = low(v[2], v[3]) + high(v[2], v[3]);
  return low(x, y) + high(x, y);
}
GAMUT_INLINE Vec<double> quarter_sums(const Vec<double>* v) {
  Vec<double> result{};
  for (int i = 0; i < 4; ++i) result[i] = sum(v[i]);
  return result;
}

// The four sums of quarter_sums.
template <class S>
GAMUT_INLINE void put_sums(S* to, Vec<S> quarters) {
  S lane[kLanes<S>];
  store(lane, quarters);
  for (int i = 0; i < 4; ++i) {
    S total = lane[i];
    for (int j = i + 4; j < kLanes<S>; j += 4) total += lane[j];
    to[i] = total;
  }
}

}  // namespace
}  // namespace gamut::ops::GAMUT_ISA
