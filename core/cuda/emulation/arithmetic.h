// CUDA's functions of numbers, atomics and loads that C++ does not have. Approximate ones are
// computed accurately.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "cuda/emulation/block.h"

// NOLINTBEGIN(bugprone-reserved-identifier): CUDA's names.
inline float rsqrtf(float x) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x)));
}
inline float __frsqrt_rn(float x) {
  return rsqrtf(x);
}
inline float __expf(float x) {
  return std::exp(x);
}
inline float __exp10f(float x) {
  return std::pow(10.0f, x);
}
inline float __logf(float x) {
  return std::log(x);
}
inline float __log2f(float x) {
  return std::log2(x);
}
inline float __log10f(float x) {
  return std::log10(x);
}
inline float __powf(float x, float y) {
  return std::pow(x, y);
}
inline float __sinf(float x) {
  return std::sin(x);
}
inline float __cosf(float x) {
  return std::cos(x);
}
inline void __sincosf(float x, float* sine, float* cosine) {
  *sine = std::sin(x);
  *cosine = std::cos(x);
}
inline float __tanhf(float x) {
  return std::tanh(x);
}
inline float __fdividef(float x, float y) {
  return x / y;
}
inline float __frcp_rn(float x) {
  return 1.0f / x;
}
inline float __fsqrt_rn(float x) {
  return std::sqrt(x);
}
inline float __fadd_rn(float x, float y) {
  return x + y;
}
inline float __fsub_rn(float x, float y) {
  return x - y;
}
inline float __fmul_rn(float x, float y) {
  return x * y;
}
inline float __fdiv_rn(float x, float y) {
  return x / y;
}
inline float __fmaf_rn(float x, float y, float z) {
  return std::fma(x, y, z);
}
inline float __saturatef(float x) {
  return std::fmin(std::fmax(x, 0.0f), 1.0f);
}

inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}
inline int __float_as_int(float x) {
  return static_cast<int>(__float_as_uint(x));
}
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}
inline float __int_as_float(int bits) {
  return __uint_as_float(static_cast<unsigned>(bits));
}

inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
inline int __clz(int x) {
  return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>(static_cast<uint64_t>(x) * y >> 32);
}

#define GAMUT_EMULATED_MIN_MAX(T) \
  inline T min(T x, T y) {        \
    return y < x ? y : x;         \
  }                               \
  inline T max(T x, T y) {        \
    return x < y ? y : x;         \
  }
GAMUT_EMULATED_MIN_MAX(int)
GAMUT_EMULATED_MIN_MAX(unsigned)
GAMUT_EMULATED_MIN_MAX(long)
GAMUT_EMULATED_MIN_MAX(unsigned long)
GAMUT_EMULATED_MIN_MAX(long long)
GAMUT_EMULATED_MIN_MAX(unsigned long long)
#undef GAMUT_EMULATED_MIN_MAX
inline float min(float x, float y) {
  return std::fmin(x, y);
}
inline float max(float x, float y) {
  return std::fmax(x, y);
}

// Loads and stores with a hint for the caches.
#define GAMUT_EMULATED_LOAD(name)   \
  template <class T>                \
  inline T name(const T* address) { \
    return *address;                \
  }
GAMUT_EMULATED_LOAD(__ldg)
GAMUT_EMULATED_LOAD(__ldca)
GAMUT_EMULATED_LOAD(__ldcg)
GAMUT_EMULATED_LOAD(__ldcs)
GAMUT_EMULATED_LOAD(__ldcv)
#undef GAMUT_EMULATED_LOAD
#define GAMUT_EMULATED_STORE(name)        \
  template <class T>                      \
  inline void name(T* address, T value) { \
    *address = value;                     \
  }
GAMUT_EMULATED_STORE(__stcg)
GAMUT_EMULATED_STORE(__stcs)
GAMUT_EMULATED_STORE(__stwb)
GAMUT_EMULATED_STORE(__stwt)
#undef GAMUT_EMULATED_STORE

// One thread runs at a time, so that what is between two meeting points is whole anyway.
template <class T, class Change>
inline T atomic_change(T* address, const Change& change) {
  const gamut::cuda::emulation::AtomicScope atomic;
  const T old = *address;
  *address = static_cast<T>(change(old));
  return old;
}
template <class T>
inline T atomicExch(T* address, T value) {
  return atomic_change(address, [&](T) { return value; });
}
template <class T>
inline T atomicAdd(T* address, T value) {
  return atomic_change(address, [&](T old) { return old + value; });
}
template <class T>
inline T atomicMax(T* address, T value) {
  return atomic_change(address, [&](T old) { return old < value ? value : old; });
}
template <class T>
inline T atomicMin(T* address, T value) {
  return atomic_change(address, [&](T old) { return value < old ? value : old; });
}
template <class T>
inline T atomicOr(T* address, T value) {
  return atomic_change(address, [&](T old) { return old | value; });
}
template <class T>
inline T atomicAnd(T* address, T value) {
  return atomic_change(address, [&](T old) { return old & value; });
}
template <class T>
inline T atomicCAS(T* address, T expected, T value) {
  return atomic_change(address, [&](T old) { return old == expected ? value : old; });
}
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __nanosleep(unsigned) {}
[[noreturn]] inline void __trap() {
  __builtin_trap();
}
// NOLINTEND(bugprone-reserved-identifier)
