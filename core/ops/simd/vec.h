// Vectors of one register and the few functions on them that the kernels share. For *.isa.cpp
// alone.
//
// Everything here has internal linkage: an inline function that the linker merges across
// instruction sets could bring AVX-512 to a CPU without it. For the same reason kernels include
// nothing of the standard library but <stdint.h> and <stddef.h>.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define GAMUT_INLINE static inline __attribute__((always_inline))

namespace gamut::ops::GAMUT_ISA {
namespace {

constexpr int kVectorBytes = GAMUT_ISA_LEVEL >= 1 ? 64 : 32;

template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

// A register of T: arithmetic, comparison and `mask ? a : b` work lane by lane.
template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct VectorOf<int32_t> {
  typedef int32_t type __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Vec = typename VectorOf<T>::type;

// bfloat16 as it lies in memory.
struct BFloat16 {
  uint16_t bits;
};

template <class T>
GAMUT_INLINE Vec<T> splat(T x) {
  return Vec<T>{} + x;
}

GAMUT_INLINE Vec<float> load(const float* p) {
  Vec<float> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
GAMUT_INLINE Vec<double> load(const double* p) {
  Vec<double> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
GAMUT_INLINE Vec<float> load(const BFloat16* p) {
#if GAMUT_ISA_LEVEL >= 1
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p));
  return (Vec<float>)_mm512_slli_epi32(wide, 16);
#else
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p));
  return (Vec<float>)_mm256_slli_epi32(wide, 16);
#endif
}

GAMUT_INLINE void store(float* p, Vec<float> v) {
  __builtin_memcpy(p, &v, sizeof v);
}
GAMUT_INLINE void store(double* p, Vec<double> v) {
  __builtin_memcpy(p, &v, sizeof v);
}
// Rounds to nearest, ties to even; NaN stays NaN.
GAMUT_INLINE void store(BFloat16* p, Vec<float> v) {
#if GAMUT_ISA_LEVEL >= 2
  const __m256bh narrow = _mm512_cvtneps_pbh((__m512)v);
  __builtin_memcpy(p, &narrow, sizeof narrow);
#else
  const Vec<int32_t> bits = (Vec<int32_t>)v;
  Vec<int32_t> rounded = bits + (0x7fff + ((bits >> 16) & 1));
  rounded = v == v ? rounded : (bits | 0x400000);
#if GAMUT_ISA_LEVEL >= 1
  _mm256_storeu_si256((__m256i*)p, _mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)(rounded >> 16)));
#else
  const __m256i high = _mm256_srli_epi32((__m256i)rounded, 16);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(high, high), 0x08);
  _mm_storeu_si128((__m128i*)p, _mm256_castsi256_si128(packed));
#endif
#endif
}

// One element at a time, for tails.
GAMUT_INLINE float load_one(const float* p) {
  return *p;
}
GAMUT_INLINE double load_one(const double* p) {
  return *p;
}
GAMUT_INLINE float load_one(const BFloat16* p) {
  const uint32_t bits = static_cast<uint32_t>(p->bits) << 16;
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}
GAMUT_INLINE void store_one(float* p, float x) {
  *p = x;
}
GAMUT_INLINE void store_one(double* p, double x) {
  *p = x;
}
GAMUT_INLINE void store_one(BFloat16* p, float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  bits = x == x ? bits + (0x7fff + ((bits >> 16) & 1)) : bits | 0x400000;
  p->bits = static_cast<uint16_t>(bits >> 16);
}

// The first n lanes, the others zero; n < kLanes.
template <class T>
GAMUT_INLINE auto load_first(const T* p, int n) -> decltype(load(p)) {
  T lanes[kVectorBytes / sizeof(load_one(p))] = {};
  __builtin_memcpy(lanes, p, n * sizeof(T));
  return load(lanes);
}
template <class T, class V>
GAMUT_INLINE void store_first(T* p, V v, int n) {
  T lanes[kVectorBytes / sizeof(v[0])];
  store(lanes, v);
  __builtin_memcpy(p, lanes, n * sizeof(T));
}

template <class V>
GAMUT_INLINE auto sum(V v) -> decltype(v[0] + v[0]) {
  constexpr int lanes = sizeof(V) / sizeof(v[0]);
  decltype(v[0] + v[0]) part[lanes];
  __builtin_memcpy(part, &v, sizeof v);
  for (int width = lanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) part[i] += part[i + width];
  }
  return part[0];
}

#if GAMUT_ISA_LEVEL >= 1
// maskz_: the plain forms make gcc 12 warn of an uninitialised value.
GAMUT_INLINE Vec<float> round_to_integer(Vec<float> x) {
  return (Vec<float>)_mm512_maskz_roundscale_ps(0xffff, (__m512)x,
                                                _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
#endif

// The polynomial of 2^r for |r| <= 1/2.
GAMUT_INLINE Vec<float> exp2_near_zero(Vec<float> r) {
  Vec<float> p = splat(1.326472604e-3f);
  p = p * r + 9.671512722e-3f;
  p = p * r + 5.550733747e-2f;
  p = p * r + 2.402224208e-1f;
  p = p * r + 6.931469776e-1f;
  return p * r + 1.0f;
}

// The polynomial of exp(r) for |r| <= log(2) / 2.
GAMUT_INLINE Vec<float> exp_near_zero(Vec<float> r) {
  Vec<float> p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return p * r * r + r + 1.0f;
}

// exp(x) within 1 ulp or so; 0 below -87.3, infinity above 88.7, NaN stays NaN.
#if GAMUT_ISA_LEVEL >= 1
GAMUT_INLINE Vec<float> exp(Vec<float> x) {
  // The smaller of two, and the second when one is NaN.
  const Vec<float> in = (Vec<float>)_mm512_maskz_min_ps(0xffff, (__m512)splat(100.0f), (__m512)x);
  const Vec<float> n = round_to_integer(in * 1.44269504f);
  const Vec<float> r = (in - n * 0.693359375f) - n * -2.12194440e-4f;
  const __mmask16 kept = _mm512_cmp_ps_mask((__m512)x, (__m512)splat(-87.3f), _CMP_NLT_UQ);
  return (Vec<float>)_mm512_maskz_scalef_ps(kept, (__m512)exp_near_zero(r), (__m512)n);
}
#else
GAMUT_INLINE Vec<float> exp(Vec<float> x) {
  const Vec<float> magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec<float> in = x > 88.7f ? splat(88.7f) : (x < -87.3f ? splat(-87.3f) : x);
  const Vec<float> shifted = in * 1.44269504f + magic;
  const Vec<float> n = shifted - magic;
  const Vec<float> p = exp_near_zero((in - n * 0.693359375f) - n * -2.12194440e-4f);
  // 2^n in two halves: n reaches 128.
  const Vec<int32_t> k = (Vec<int32_t>)shifted - (Vec<int32_t>)magic;
  const Vec<int32_t> half = k >> 1;
  Vec<float> y = p * (Vec<float>)((half + 127) << 23) * (Vec<float>)((k - half + 127) << 23);
  y = x < -87.3f ? splat(0.0f) : y;
  y = x > 88.72284f ? splat(__builtin_inff()) : y;
  return x == x ? y : x;
}
#endif
// float64 is for checking; exactness counts, not speed.
GAMUT_INLINE Vec<double> exp(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}
GAMUT_INLINE float exp(float x) {
  return __builtin_expf(x);
}
GAMUT_INLINE double exp(double x) {
  return __builtin_exp(x);
}

// 2^(a b) within 2 ulp, the product not rounded: for exp(b c) with a = c / log(2) computed once.
// For |a b| up to 1e15; 0, or as good as 0, below 2^-126.
#if GAMUT_ISA_LEVEL >= 1
GAMUT_INLINE Vec<float> exp2_of_product(Vec<float> a, Vec<float> b) {
  const Vec<float> n = round_to_integer(a * b);
  const Vec<float> r = (Vec<float>)_mm512_fmsub_ps((__m512)a, (__m512)b, (__m512)n);
  return (Vec<float>)_mm512_maskz_scalef_ps(0xffff, (__m512)exp2_near_zero(r), (__m512)n);
}
#else
GAMUT_INLINE Vec<float> exp2_of_product(Vec<float> a, Vec<float> b) {
  const Vec<float> magic = splat(12582912.0f);
  const __m256 product = (__m256)(a * b);
  const __m256 in =
      _mm256_max_ps((__m256)splat(-126.0f), _mm256_min_ps((__m256)splat(127.0f), product));
  const Vec<float> shifted = (Vec<float>)in + magic;
  const Vec<float> p = exp2_near_zero((Vec<float>)in - (shifted - magic));
  const Vec<float> y = (Vec<float>)((Vec<int32_t>)p + ((Vec<int32_t>)shifted << 23));
  return (Vec<float>)product < -126.0f ? splat(0.0f) : y;
}
#endif
GAMUT_INLINE Vec<double> exp2_of_product(Vec<double> a, Vec<double> b) {
  for (int i = 0; i < kLanes<double>; ++i) a[i] = __builtin_exp2(a[i] * b[i]);
  return a;
}

// log(1 + e) for 0 <= e <= 1, exact to a few ulp also for small e: 2 artanh(s) with s = e / (2 +
// e).
GAMUT_INLINE Vec<float> log1p_of_unit(Vec<float> e) {
  const Vec<float> s = e / (e + 2.0f), s2 = s * s;
  Vec<float> p = splat(1.400642066e-1f);
  p = p * s2 + 1.400081401e-1f;
  p = p * s2 + 2.001076910e-1f;
  p = p * s2 + 3.333320805e-1f;
  const Vec<float> twice = s + s;
  return twice + twice * (s2 * p);
}
GAMUT_INLINE Vec<double> log1p_of_unit(Vec<double> e) {
  for (int i = 0; i < kLanes<double>; ++i) e[i] = __builtin_log1p(e[i]);
  return e;
}

// log(1 + exp(x)), and its derivative 1 / (1 + exp(-x)).
template <class V>
struct Softplus {
  V value, slope;
};
template <class V>
GAMUT_INLINE Softplus<V> softplus(V x) {
  const V e = exp(x < 0 ? x : -x);  // of -|x|
  const V big = 1 / (1 + e);
  return {(x < 0 ? V{} : x) + log1p_of_unit(e), x < 0 ? e * big : big};
}

// 1 / (1 + exp(-x)).
template <class V>
GAMUT_INLINE V sigmoid(V x) {
  return 1 / (1 + exp(-x));
}
template <class V>
GAMUT_INLINE V silu(V x) {
  return x * sigmoid(x);
}

}  // namespace
}  // namespace gamut::ops::GAMUT_ISA
