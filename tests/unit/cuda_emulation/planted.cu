#include "planted.h"

#include "cuda/device.cuh"

namespace gamut::cuda::test {
namespace {

__global__ void neighbours_kernel(float* out, const float* in, bool planted) {
  SharedMemory shared;
  float* values = shared.take<float>(static_cast<int>(blockDim.x));
  values[threadIdx.x] = in[threadIdx.x];
  if (!planted) __syncthreads();
  out[threadIdx.x] = values[(threadIdx.x + 1) % blockDim.x];
}

__global__ void last_of_kernel(float* out, const float* in, bool planted) {
  if (threadIdx.x > 0) return;
  if (planted) {
    out[0] = in[blockIdx.x];
  } else {
    atomicAdd(out, in[blockIdx.x]);
  }
}

__global__ void sum_kernel(float* out, const float* in, bool planted) {
  SharedMemory shared;
  float* sum = shared.take<float>(1);
  if (threadIdx.x == 0) *sum = 0;
  __syncthreads();
  if (planted) {
    *sum += in[threadIdx.x];
  } else {
    atomicAdd(sum, in[threadIdx.x]);
  }
  __syncthreads();
  out[threadIdx.x] = *sum;
}

// Through shared memory where `where` is null, else through global memory.
__global__ void in_warps_kernel(float* out, const float* in, float* where, bool planted) {
  SharedMemory shared;
  float* values = where == nullptr ? shared.take<float>(static_cast<int>(blockDim.x)) : where;
  values[threadIdx.x] = in[threadIdx.x];
  if (!planted) __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 1];
}

__global__ void copied_kernel(float* out, const float* in, bool planted) {
  SharedMemory shared;
  float* values = shared.take<float>(4 * static_cast<int>(blockDim.x));
  const int at = 4 * static_cast<int>(threadIdx.x);
  copy_async16(values + at, in + at);
  copy_async_commit();
  if (!planted) copy_async_wait<0>();
  for (int i = 0; i < 4; ++i) out[at + i] = values[at + i];
  copy_async_wait<0>();
}

__global__ void two_tiles_kernel(float* out, const float* in, bool planted) {
  SharedMemory shared;
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  float* values = shared.take<float>(4 * threads);
  for (int tile = 0; tile < 2; ++tile) {
    copy_async16(values + 4 * thread, in + 4 * (tile * threads + thread));
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();
    for (int i = thread; i < 4 * threads; i += threads) {
      out[tile * 4 * threads + i] = 2 * values[i];
    }
    if (!planted) __syncthreads();
  }
}

__global__ void beyond_kernel(float* out, Beyond where) {
  SharedMemory shared;
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  float* first = shared.take<float>(threads);
  float* last = shared.take<float>(threads);
  const auto off = [&](Beyond there) { return where == there && thread == threads - 1 ? 1 : 0; };
  first[thread + off(Beyond::first_piece)] = 1;
  last[thread + off(Beyond::last_piece)] = 2;
  out[thread + off(Beyond::global)] = 3;
}

__global__ void takes_more_kernel(float* out, bool planted) {
  SharedMemory shared;
  float* values = shared.take<float>(static_cast<int>(blockDim.x) + (planted ? 1 : 0));
  values[threadIdx.x] = 3;
  out[threadIdx.x] = values[threadIdx.x];
}

__global__ void diverging_kernel(float* out, Divergence how) {
  const bool odd = threadIdx.x % 2 != 0;
  float x = static_cast<float>(threadIdx.x);
  if (odd && how == Divergence::left) return;
  if (odd && how == Divergence::barrier) __syncthreads();
  if (odd && how == Divergence::other_line) {
    x = __shfl_xor_sync(0xffffffff, x, 1);
  } else if (!odd || how != Divergence::skipped) {
    x = __shfl_xor_sync(0xffffffff, x, 1);
  }
  __syncwarp();
  out[threadIdx.x] = x;
}

__global__ void leaving_kernel(float* out, bool planted) {
  out[threadIdx.x] = 4;
  if (planted && threadIdx.x + 32 >= blockDim.x) return;
  __syncthreads();
}

__global__ void sum_of_shared_kernel(float* out, bool planted) {
  SharedMemory shared;
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  float* values = shared.take<float>(threads);
  if (!planted || thread % 2 == 0) values[thread] = 1;
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < threads; ++i) sum += values[i];
  out[thread] = sum;
}

__global__ void misaligned_kernel(float* out, const float* in, Access which) {
  SharedMemory shared;
  float* values = shared.take<float>(8 * 32 + 4);
  const int thread = static_cast<int>(threadIdx.x);
  const int off = which == Access::aligned ? 0 : 1;
  copy_async16(values + 4 * thread, in + 4 * thread + (which == Access::copy ? off : 0));
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();
  uint32_t r[4];
  ldmatrix_x4(r, values + 4 * thread + (which == Access::matrix ? off : 0));
  const float4 four = *reinterpret_cast<const float4*>(in + (which == Access::vector ? off : 0));
  out[thread] = four.x + __uint_as_float(r[0]);
}

SharedSize floats(int count) {
  return SharedSize().add<float>(count);
}

}  // namespace

Status neighbours(float* out, const float* in, int threads, Fault fault) {
  return launch(neighbours_kernel, "neighbours", {1, threads, floats(threads).bytes()}, out, in,
                fault == Fault::planted);
}

Status last_of(float* out, const float* in, int blocks, Fault fault) {
  return launch(last_of_kernel, "last_of", {blocks, 32}, out, in, fault == Fault::planted);
}

Status sum(float* out, const float* in, int threads, Fault fault) {
  return launch(sum_kernel, "sum", {1, threads, floats(1).bytes()}, out, in,
                fault == Fault::planted);
}

Status in_warps(float* out, const float* in, float* where, int threads, Fault fault) {
  return launch(in_warps_kernel, "in_warps", {1, threads, floats(threads).bytes()}, out, in, where,
                fault == Fault::planted);
}

Status copied(float* out, const float* in, int threads, Fault fault) {
  return launch(copied_kernel, "copied", {1, threads, floats(4 * threads).bytes()}, out, in,
                fault == Fault::planted);
}

Status two_tiles(float* out, const float* in, int threads, Fault fault) {
  return launch(two_tiles_kernel, "two_tiles", {1, threads, floats(4 * threads).bytes()}, out, in,
                fault == Fault::planted);
}

Status beyond(float* out, int threads, Beyond where) {
  const auto size = floats(threads).add<float>(threads).bytes();
  return launch(beyond_kernel, "beyond", {1, threads, size}, out, where);
}

Status takes_more(float* out, int threads, Fault fault) {
  return launch(takes_more_kernel, "takes_more", {1, threads, floats(threads).bytes()}, out,
                fault == Fault::planted);
}

Status diverging(float* out, int threads, Divergence how) {
  return launch(diverging_kernel, "diverging", {1, threads}, out, how);
}

Status leaving(float* out, int threads, Fault fault) {
  return launch(leaving_kernel, "leaving", {1, threads}, out, fault == Fault::planted);
}

Status sum_of_shared(float* out, int threads, Fault fault) {
  return launch(sum_of_shared_kernel, "sum_of_shared", {1, threads, floats(threads).bytes()}, out,
                fault == Fault::planted);
}

Status misaligned(float* out, const float* in, int threads, Access which) {
  return launch(misaligned_kernel, "misaligned", {1, threads, floats(8 * 32 + 4).bytes()}, out, in,
                which);
}

}  // namespace gamut::cuda::test
