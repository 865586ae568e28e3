// Activations of convolutions, on vectors. For *.isa.cpp alone.
//
// Products and sums are fused by hand: a full vector and the tail of a row must have the same bits.
#pragma once

#include "ops/simd/gemm.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

#if GAMUT_ISA_LEVEL < 1
GAMUT_INLINE Vec<float> round_to_integer(Vec<float> x) {
  return (Vec<float>)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
#endif

// The smaller one; the second when one is NaN.
GAMUT_INLINE Vec<float> smaller(Vec<float> a, Vec<float> b) {
  return a < b ? a : b;
}

// sin(z)^2: of r = z - n pi with n the nearest integer to z / pi, so that no sign is left to
// settle. Within 2e-7 for |z| < 1e5; in [0, 1] wherever z is finite.
GAMUT_INLINE Vec<float> sin_squared(Vec<float> z) {
  const Vec<float> n = round_to_integer(z * 0.318309886f);
  Vec<float> r = multiply_add(n, splat(-3.14159274f), z);
  r = multiply_add(n, splat(8.74227766e-8f), r);  // pi = 3.14159274 - 8.74e-8
  const Vec<float> square = r * r;
  Vec<float> p = splat(2.60878962e-06f);
  p = multiply_add(p, square, splat(-1.98110534e-04f));
  p = multiply_add(p, square, splat(8.33308744e-03f));
  p = multiply_add(p, square, splat(-1.66666604e-01f));
  const Vec<float> s = multiply_add(r * square, p, r);
  return smaller(splat(1.0f), s * s);
}

// x + sin(alpha x)^2 / alpha.
GAMUT_INLINE Vec<float> snake(Vec<float> x, Vec<float> alpha, Vec<float> alpha_inverse) {
  return multiply_add(sin_squared(x * alpha), alpha_inverse, x);
}

// exp(x) - 1 for x <= 0, exact to an ulp or two also near 0; -1 below -87, NaN stays NaN.
GAMUT_INLINE Vec<float> exp_minus_one(Vec<float> x) {
  const Vec<float> in = x < -87.0f ? splat(-87.0f) : x;
  const Vec<float> n = round_to_integer(in * 1.44269504f);
  Vec<float> r = multiply_add(n, splat(-0.693359375f), in);
  r = multiply_add(n, splat(2.12194440e-4f), r);
  Vec<float> p = splat(1.9875691500e-4f);  // as exp_near_zero has it
  p = multiply_add(p, r, splat(1.3981999507e-3f));
  p = multiply_add(p, r, splat(8.3334519073e-3f));
  p = multiply_add(p, r, splat(4.1665795894e-2f));
  p = multiply_add(p, r, splat(1.6666665459e-1f));
  p = multiply_add(p, r, splat(5.0000001201e-1f));
  p = multiply_add(p, r * r, r);
  const Vec<float> magic = splat(12582912.0f);  // 1.5 * 2^23: n becomes the low bits
  const Vec<int32_t> k = (Vec<int32_t>)(n + magic) - (Vec<int32_t>)magic;
  const Vec<float> power = (Vec<float>)((k + 127) << 23);
  return multiply_add(p, power, power - 1.0f);
}

GAMUT_INLINE Vec<float> elu(Vec<float> x) {
  return x > 0.0f ? x : exp_minus_one(x);
}

GAMUT_INLINE Vec<float> tanh(Vec<float> x) {
  const Vec<float> e = exp_minus_one(-2.0f * (x < 0.0f ? -x : x));
  const Vec<float> y = e / (-2.0f - e);
  return x < 0.0f ? -y : y;
}

}  // namespace
}  // namespace gamut::ops::GAMUT_ISA
