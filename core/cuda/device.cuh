// What kernels are written with: CUDA's own names, shared memory, launches, asynchronous copies and
// the warp's matrix instructions. Compiled by nvcc they are the instructions; compiled by a C++
// compiler, core/cuda/emulation runs the same source on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/types.h"

#ifdef __CUDACC__

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

namespace gamut::cuda {

// The dynamic shared memory of a block, handed out piece by piece, in the order and sizes that the
// host added to a SharedSize. There is no other shared memory.
class SharedMemory {
 public:
  __device__ SharedMemory() {
    extern __shared__ __align__(128) unsigned char gamut_shared_memory[];
    next_ = gamut_shared_memory;
  }

  template <class T>
  __device__ T* take(int count) {
    T* piece = reinterpret_cast<T*>(next_);
    next_ += (count * sizeof(T) + 15) / 16 * 16;
    return piece;
  }

 private:
  unsigned char* next_;
};

// 16 bytes from global to shared memory, both 16-byte aligned, zeros where not `valid`; they are
// there after copy_async_wait and a barrier.
__device__ inline void copy_async16(void* shared, const void* global, bool valid = true) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(global), "r"(bytes)
               : "memory");
}

// The same for 8 and 4 bytes, both aligned to as many.
__device__ inline void copy_async8(void* shared, const void* global, bool valid = true) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? 8 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;\n" ::"r"(to), "l"(global), "r"(bytes)
               : "memory");
}
__device__ inline void copy_async4(void* shared, const void* global, bool valid = true) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? 4 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(to), "l"(global), "r"(bytes)
               : "memory");
}

// Closes a group of copies.
__device__ inline void copy_async_commit() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}

// Waits until at most kLeft of this thread's groups are under way.
template <int kLeft>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kLeft) : "memory");
}

// Matrices of 8 x 8 16-bit elements; lane 8 i + j gives the address of row j of matrix i, 16-byte
// aligned. Register i of lane l gets elements (l / 4, 2 (l % 4)) and the next of matrix i, or of
// its transpose.
__device__ inline void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from)
               : "memory");
}
__device__ inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from)
               : "memory");
}
// The same with two matrices; lanes 0 to 15 give the addresses.
__device__ inline void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
  const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];\n"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(from)
               : "memory");
}
__device__ inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
  const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];\n"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(from)
               : "memory");
}

// d [16, 8] += a [16, 16] b [16, 8], float32 sums. Fragments as in the PTX manual, m16n8k16.
__device__ inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ inline void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// d [16, 8] += a [16, 8] b [8, 8] of tf32 numbers, m16n8k8.
__device__ inline void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// x rounded to tf32's eleven bits, as a float's bits.
__device__ inline uint32_t to_tf32(float x) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(bits) : "f"(x));
  return bits;
}

// Two numbers as one register of 16-bit elements, the first in the lower half.
template <class T>
__device__ inline uint32_t pack2(float first, float second);
template <>
__device__ inline uint32_t pack2<__nv_bfloat16>(float first, float second) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(first, second);
  return reinterpret_cast<const uint32_t&>(both);
}
template <>
__device__ inline uint32_t pack2<__half>(float first, float second) {
  const __half2 both = __floats2half2_rn(first, second);
  return reinterpret_cast<const uint32_t&>(both);
}

}  // namespace gamut::cuda

#else
#include "cuda/emulation/device.h"
#endif

#include "cuda/launch.cuh"
