// Kernels of one warp, each around one instruction.
#pragma once

#include <cstdint>

#include "cuda/types.h"

namespace gamut::cuda::test {

// d [16, 8] = a [16, depth] b [depth, 8] in one instruction, whose fragments are filled by the
// formulas of the PTX manual. depth is 16, for float32 (as tf32) 8.
Status product(float* d, const float* a, const float* b, Element element);

// r [registers, 32]: what ldmatrix gives each lane for matrices of [registers, 8, 8].
enum class Transposed { no, yes };
Status load_matrices(uint32_t* r, const uint16_t* matrices, int registers, Transposed transposed);

// d [32, 16] = a [32, depth] b [depth, 16] by mma.cuh, rounded to `element` first. Orders: how a
// and b lie in shared memory, k along the rows of memory or across. `chained`: a is sums of a
// product with the identity.
struct Tiles {
  Element element;
  bool a_inner, b_inner, chained;
};
Status tiles(float* d, const float* a, const float* b, int depth, const Tiles& how);

// For each lane, in order: __shfl_sync from lane 5 of its `width` lanes, up by 3, down by 3, xor 9;
// then __ballot_sync, __any_sync and __all_sync of "lane < 3"; __reduce_add, min and max of the
// lane's number minus 7; out is [10, 32].
Status exchange(int* out, int width);

// out[t] = the number of threads whose number is a multiple of 3, + 1000 if any is 40, + 2000 if
// all are below 64.
Status count(int* out, int threads);

// `times` dependent mma_bf16 in each of `warps` warps, for measuring; out [32 warps].
Status many_products(float* out, int warps, int times);

}  // namespace gamut::cuda::test
