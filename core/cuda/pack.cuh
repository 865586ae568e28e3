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

// The same, or zeros where there is none.
template <int kN, class T>
__device__ inline Pack<T, kN> load_pack_if(bool is_there, const T* p) {
  return is_there ? load_pack<kN>(p) : Pack<T, kN>{};
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

// A pack of 4, 8 or 16 bytes as registers and back.
__device__ inline void to_words(uint4 pack, uint32_t (&words)[4]) {
  words[0] = pack.x, words[1] = pack.y, words[2] = pack.z, words[3] = pack.w;
}
__device__ inline void to_words(uint2 pack, uint32_t (&words)[2]) {
  words[0] = pack.x, words[1] = pack.y;
}
__device__ inline void to_words(uint32_t pack, uint32_t (&words)[1]) {
  words[0] = pack;
}
__device__ inline uint4 of_words(const uint32_t (&words)[4]) {
  return make_uint4(words[0], words[1], words[2], words[3]);
}
__device__ inline uint2 of_words(const uint32_t (&words)[2]) {
  return make_uint2(words[0], words[1]);
}
__device__ inline uint32_t of_words(const uint32_t (&words)[1]) {
  return words[0];
}

template <class T, int kN>
__device__ inline void unpack(const Pack<T, kN>& pack, float (&values)[kN]) {
  if constexpr (sizeof pack == 2) {
    T element;
    memcpy(&element, &pack, sizeof element);
    values[0] = to_float(element);
  } else {
    uint32_t words[sizeof pack / 4];
    to_words(pack, words);
    constexpr int kOfWord = 4 / sizeof(T);
#pragma unroll
    for (int i = 0; i < kN / kOfWord; ++i) {
      if constexpr (kOfWord == 1) {
        values[i] = __uint_as_float(words[i]);
      } else {
        unpack2<T>(words[i], values[2 * i], values[2 * i + 1]);
      }
    }
  }
}

template <class T, int kN>
__device__ inline Pack<T, kN> pack_of(const float (&values)[kN]) {
  if constexpr (kN * sizeof(T) == 2) {
    const T element = from_float<T>(values[0]);
    Pack<T, kN> pack;
    memcpy(&pack, &element, sizeof pack);
    return pack;
  } else {
    uint32_t words[kN * sizeof(T) / 4];
    constexpr int kOfWord = 4 / sizeof(T);
#pragma unroll
    for (int i = 0; i < kN / kOfWord; ++i) {
      if constexpr (kOfWord == 1) {
        words[i] = __float_as_uint(values[i]);
      } else {
        words[i] = pack2<T>(values[2 * i], values[2 * i + 1]);
      }
    }
    return of_words(words);
  }
}

// Writes the values, rounded to T, at p, which is aligned to the size of all of them. The compiler
// is free to write a uint4 word by word; __stwb is one instruction.
template <int kN, class T>
__device__ inline void store_pack(T* p, const float (&values)[kN]) {
  auto* const to = reinterpret_cast<Pack<T, kN>*>(p);
  if constexpr (kN * sizeof(T) > 4) {
    __stwb(to, pack_of<T>(values));
  } else {
    *to = pack_of<T>(values);
  }
}

// The first n of them.
template <int kN, class T>
__device__ inline void store_pack(T* p, const float (&values)[kN], int64_t n) {
  if (n >= kN) return store_pack<kN>(p, values);
#pragma unroll
  for (int i = 0; i < kN; ++i) {
    if (i < n) p[i] = from_float<T>(values[i]);
  }
}

// kN floats as packs of four, or kN if that is less; p is aligned to those.
template <int kN>
__device__ inline void load_floats(const float* p, float (&values)[kN]) {
  constexpr int kPart = kN < 4 ? kN : 4;
#pragma unroll
  for (int i = 0; i < kN; i += kPart) {
    float part[kPart];
    unpack<float>(load_pack<kPart>(p + i), part);
#pragma unroll
    for (int k = 0; k < kPart; ++k) values[i + k] = part[k];
  }
}
template <int kN>
__device__ inline void store_floats(float* p, const float (&values)[kN]) {
  constexpr int kPart = kN < 4 ? kN : 4;
#pragma unroll
  for (int i = 0; i < kN; i += kPart) {
    float part[kPart];
#pragma unroll
    for (int k = 0; k < kPart; ++k) part[k] = values[i + k];
    store_pack<kPart>(p + i, part);
  }
}

// Element i of an array whose type is known when the kernel runs.
__device__ inline float load_element(const void* p, Element element, int64_t i) {
  switch (element) {
    case Element::float32:
      return static_cast<const float*>(p)[i];
    case Element::bfloat16:
      return to_float(static_cast<const __nv_bfloat16*>(p)[i]);
    case Element::float16:
      return to_float(static_cast<const __half*>(p)[i]);
  }
  return 0;
}
__device__ inline void store_element(void* p, Element element, int64_t i, float value) {
  switch (element) {
    case Element::float32:
      static_cast<float*>(p)[i] = value;
      return;
    case Element::bfloat16:
      static_cast<__nv_bfloat16*>(p)[i] = from_float<__nv_bfloat16>(value);
      return;
    case Element::float16:
      static_cast<__half*>(p)[i] = from_float<__half>(value);
      return;
  }
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
