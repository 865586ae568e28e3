// Kernels with planted faults, and the same without: what the emulator must find.
#pragma once

#include <cstdint>

#include "cuda/types.h"

namespace gamut::cuda::test {

enum class Fault { none, planted };

// Each returns launch's status and uses one block of `threads`, unless it says otherwise.

// out[i] = the neighbour's in[], through shared memory. Planted: no __syncthreads between.
Status neighbours(float* out, const float* in, int threads, Fault fault);
// out[0] = the sum of in[0 .. blocks), by one atomicAdd a block. Planted: the last block's value
// stands, for every block stores its own.
Status last_of(float* out, const float* in, int blocks, Fault fault);
// out[] = the sum of in[0 .. threads), by atomicAdd in shared memory. Planted: a plain +=.
Status sum(float* out, const float* in, int threads, Fault fault);
// out[i] = in[i ^ 1], through shared memory, or through `where` in global memory if it is not null.
// Planted: no __syncwarp between.
Status in_warps(float* out, const float* in, float* where, int threads, Fault fault);
// out = in, 4 floats a thread, through copy_async16. Planted: no copy_async_wait.
Status copied(float* out, const float* in, int threads, Fault fault);
// Doubles each of two tiles that are copied to the same place in turn. Planted: the second copy
// begins while others read the first.
Status two_tiles(float* out, const float* in, int threads, Fault fault);
// Planted: thread 0 writes one float behind the last piece of shared memory, behind the first of
// two, or behind `out` in global memory.
enum class Beyond { nothing, last_piece, first_piece, global };
Status beyond(float* out, int threads, Beyond where);
// Planted: takes a piece that the launch did not give.
Status takes_more(float* out, int threads, Fault fault);
// Planted: odd lanes skip a shuffle, leave before it, or come to another one.
enum class Divergence { none, skipped, left, other_line, barrier };
Status diverging(float* out, int threads, Divergence how);
// Planted: the last warp leaves before __syncthreads.
Status leaving(float* out, int threads, Fault fault);
// Planted: half of the shared memory that is summed was never written.
Status sum_of_shared(float* out, int threads, Fault fault);
// Planted: the address is 4 bytes off what the instruction wants.
enum class Access { aligned, vector, copy, matrix };
Status misaligned(float* out, const float* in, int threads, Access which);

}  // namespace gamut::cuda::test
