// The warp's matrix instructions, by the fragments of the PTX manual.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>

#include "cuda/emulation/site.h"

namespace gamut::cuda {

using emulation::Site;

void ldmatrix_x4(uint32_t (&r)[4], const void* row, const Site& site = Site::here());
void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, const Site& site = Site::here());
void ldmatrix_x2(uint32_t (&r)[2], const void* row, const Site& site = Site::here());
void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row, const Site& site = Site::here());

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
              const Site& site = Site::here());
void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
             const Site& site = Site::here());
void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
              const Site& site = Site::here());

// To the nearest, halves away from zero.
inline uint32_t to_tf32(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const bool finite = (bits & 0x7f800000) != 0x7f800000;
  return finite ? (bits + 0x1000) & 0xffffe000 : bits;
}

template <class T>
uint32_t pack2(float first, float second);
template <>
inline uint32_t pack2<__nv_bfloat16>(float first, float second) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(first, second);
  uint32_t bits;
  std::memcpy(&bits, &both, sizeof(bits));
  return bits;
}
template <>
inline uint32_t pack2<__half>(float first, float second) {
  const __half2 both = __floats2half2_rn(first, second);
  uint32_t bits;
  std::memcpy(&bits, &both, sizeof(bits));
  return bits;
}

}  // namespace gamut::cuda
