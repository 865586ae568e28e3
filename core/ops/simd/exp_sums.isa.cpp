// Sums of exponentials, four vectors at once, so that their latencies overlap.
#include "ops/simd/exp_sums.h"

#include "ops/simd/vec.h"

namespace gamut::ops::GAMUT_ISA {

namespace {

constexpr int kWidth = kLanes<float>;
constexpr int kAtOnce = 4;

// `count` vectors at x.
template <int count>
GAMUT_INLINE void sum_exponentials(const float* x, float* y, int64_t times) {
  Vec<float> in[count], sum[count] = {};
  for (int i = 0; i < count; ++i) in[i] = load(x + i * kWidth);
  const float step = 1.0f / static_cast<float>(times);
  for (int64_t j = 0; j < times; ++j) {
    const Vec<float> factor = splat(static_cast<float>(j) * step);
    for (int i = 0; i < count; ++i) sum[i] += exp2_of_product(in[i], factor);
  }
  for (int i = 0; i < count; ++i) store(y + i * kWidth, sum[i]);
}

}  // namespace

void exp_sums(const ExpSumsArguments& a) {
  int64_t i = a.begin;
  for (; i + kAtOnce * kWidth <= a.end; i += kAtOnce * kWidth) {
    sum_exponentials<kAtOnce>(a.x + i, a.y + i, a.times);
  }
  for (; i < a.end; i += kWidth) {
    const int n = a.end - i < kWidth ? static_cast<int>(a.end - i) : kWidth;
    float in[kWidth] = {}, out[kWidth];
    __builtin_memcpy(in, a.x + i, n * sizeof(float));
    sum_exponentials<1>(in, out, a.times);
    __builtin_memcpy(a.y + i, out, n * sizeof(float));
  }
}

}  // namespace gamut::ops::GAMUT_ISA
