// Memory a few elements at a time: kN neighbours of type T (float, __nv_bfloat16 or __half) as one
// access of up to 16 bytes, and as floats to compute with. A kernel that is bound by memory loads
// all the packs it needs before it unpacks the first.
#pragma once

#include <cstring>
#include <initializer_list>

#include "cuda/device.cuh"

namespace gamut::cuda {

template <int kBytes>
struct WordOf;
template <>
struct WordOf<16> {
  using type = uint4;
};
template <>
struct WordOf<8> {
  using type = uint2;
};
template <>
struct WordOf<4> {
  using type = uint32_t;
};
template <>
struct WordOf<2> {
  using type = uint16_t;
};

template <class T, int kN>
using Pack = typename WordOf<kN* static_cast<int>(sizeof(T))>::type;

// Elements of the widest access.
template <class T>
constexpr int kWidePack = 16 / static_cast<int>(sizeof(T));

__device__ inline float to_float(float x) {
  return x;
}
__device__ inline float to_float(__nv_bfloat16 x) {
  return __bfloat162float(x);
}
__device__ inline float to_float(__half x) {
  return __half2float(x);
}

template <class T>
__device__ inline T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16(x);
}
template <>
__device__ inline __half from_float<__half>(float x) {
  return __float2half(x);
}

// What pack2 does, undone.
template <class T>
__device__ inline void unpack2(uint32_t both, float& first, float& second);
template <>
__device__ inline void unpack2<__nv_bfloat16>(uint32_t both, float& first, float& second) {
  first = __uint_as_float(both << 16);
  second = __uint_as_float(both & 0xffff0000U);
}
template <>
__device__ inline void unpack2<__half>(uint32_t both, float& first, float& second) {
  __half2 halves;
  memcpy(&halves, &both, sizeof both);
  const float2 floats = __half22float2(halves);
  first = floats.x;
  second = floats.y;
}

// The pack at p, which is aligned to its size.
template <int kN, class T>
__device__ inline Pack<T, kN> load_pack(const T* p) {
  return *reinterpret_cast<const Pack<T, kN>*>(p);
}

// Its first n elements, those after them zero; n may be less than one or more than kN.
template <int kN, class T>
__device__ inline Pack<T, kN> load_pack(const T* p, int64_t n) {
  Pack<T, kN> pack{};
  if (n >= kN) return load_pack<kN>(p);
  if constexpr (kN > 1) {
    T elements[kN] = {};
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      if (i < n) elements[i] = p[i];
    }
    memcpy(&pack, elements, sizeof pack);
  }
  return pack;
}

template <class T, int kN>
__device__ inline void unpack(const Pack<T, kN>& pack, float (&values)[kN]) {
  if constexpr (sizeof(T) == sizeof(float)) {
    memcpy(values, &pack, sizeof pack);
  } else if constexpr (kN == 1) {
    T element;
    memcpy(&element, &pack, sizeof element);
    values[0] = to_float(element);
  } else {
    uint32_t words[kN / 2];
    memcpy(words, &pack, sizeof pack);
#pragma unroll
    for (int i = 0; i < kN / 2; ++i) unpack2<T>(words[i], values[2 * i], values[2 * i + 1]);
  }
}

// Writes the first n of the values, rounded to T; p is aligned to the size of all.
template <int kN, class T>
__device__ inline void store_pack(T* p, const float (&values)[kN], int64_t n = kN) {
  if (n < kN) {
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      if (i < n) p[i] = from_float<T>(values[i]);
    }
    return;
  }
  Pack<T, kN> pack;
  if constexpr (sizeof(T) == sizeof(float)) {
    memcpy(&pack, values, sizeof pack);
  } else if constexpr (kN == 1) {
    const T element = from_float<T>(values[0]);
    memcpy(&pack, &element, sizeof pack);
  } else {
    uint32_t words[kN / 2];
#pragma unroll
    for (int i = 0; i < kN / 2; ++i) words[i] = pack2<T>(values[2 * i], values[2 * i + 1]);
    memcpy(&pack, words, sizeof pack);
  }
  *reinterpret_cast<Pack<T, kN>*>(p) = pack;
}

inline int bytes_of(Element element) {
  return element == Element::float32 ? 4 : 2;
}

// Whether these addresses and distances (in bytes) are all multiples of so many bytes; null is.
inline bool are_aligned(int bytes, std::initializer_list<const void*> addresses,
                        std::initializer_list<int64_t> distances) {
  uint64_t bits = 0;
  for (const void* p : addresses) bits |= reinterpret_cast<uintptr_t>(p);
  for (const int64_t d : distances) bits |= static_cast<uint64_t>(d);
  return bits % static_cast<uint64_t>(bytes) == 0;
}

// Calls run(T()) with the type of the element.
template <class Run>
Status by_element(Element element, const Run& run) {
  switch (element) {
    case Element::float32:
      return run(float());
    case Element::bfloat16:
      return run(__nv_bfloat16());
    case Element::float16:
      return run(__half());
  }
  return {};
}

}  // namespace gamut::cuda
