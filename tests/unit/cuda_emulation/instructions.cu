#include "instructions.h"

#include "cuda/device.cuh"
#include "cuda/mma.cuh"

namespace gamut::cuda::test {
namespace {

template <class T>
__device__ uint16_t bits_of(float x) {
  return static_cast<uint16_t>(pack2<T>(x, 0.0F));
}

// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type", element by element.
template <class T>
__global__ void product16_kernel(float* d, const float* a, const float* b) {
  const int lane = lane_index(), group = lane / 4, in_group = lane % 4;
  uint16_t of_a[8], of_b[4];
  for (int i = 0; i < 8; ++i) {
    const int row = (i < 2 || (4 <= i && i < 6)) ? group : group + 8;
    const int column = in_group * 2 + (i & 1) + (i < 4 ? 0 : 8);
    of_a[i] = bits_of<T>(a[row * 16 + column]);
  }
  for (int i = 0; i < 4; ++i) {
    const int row = in_group * 2 + (i & 1) + (i < 2 ? 0 : 8);
    of_b[i] = bits_of<T>(b[row * 8 + group]);
  }
  uint32_t in_a[4], in_b[2];
  for (int i = 0; i < 4; ++i) in_a[i] = of_a[2 * i] | static_cast<uint32_t>(of_a[2 * i + 1]) << 16;
  for (int i = 0; i < 2; ++i) in_b[i] = of_b[2 * i] | static_cast<uint32_t>(of_b[2 * i + 1]) << 16;
  float sums[4] = {};
  if (sizeof(T) == 2 && bits_of<T>(1.0F) == 0x3f80) {
    mma_bf16(sums, in_a, in_b);
  } else {
    mma_f16(sums, in_a, in_b);
  }
  for (int i = 0; i < 4; ++i) {
    const int row = i < 2 ? group : group + 8, column = in_group * 2 + (i & 1);
    d[row * 8 + column] = sums[i];
  }
}

// "Matrix Fragments for mma.m16n8k8", .tf32.
__global__ void product8_kernel(float* d, const float* a, const float* b) {
  const int lane = lane_index(), group = lane / 4, in_group = lane % 4;
  uint32_t in_a[4], in_b[2];
  for (int i = 0; i < 4; ++i) {
    const int row = i == 0 || i == 2 ? group : group + 8, column = i < 2 ? in_group : in_group + 4;
    in_a[i] = __float_as_uint(a[row * 8 + column]);
  }
  in_b[0] = __float_as_uint(b[in_group * 8 + group]);
  in_b[1] = __float_as_uint(b[(in_group + 4) * 8 + group]);
  float sums[4] = {};
  mma_tf32(sums, in_a, in_b);
  for (int i = 0; i < 4; ++i) {
    d[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)] = sums[i];
  }
}

__global__ void load_matrices_kernel(uint32_t* r, const uint16_t* matrices, int registers,
                                     bool transposed) {
  SharedMemory shared;
  const int lane = lane_index();
  uint16_t* rows = shared.take<uint16_t>(registers * 64);
  for (int i = lane; i < registers * 64; i += kWarp) rows[i] = matrices[i];
  __syncwarp();
  uint32_t four[4], two[2];
  const uint16_t* row = rows + 8 * (lane % (registers * 8));
  if (registers == 4) {
    transposed ? ldmatrix_x4_trans(four, row) : ldmatrix_x4(four, row);
  } else {
    transposed ? ldmatrix_x2_trans(two, row) : ldmatrix_x2(two, row);
  }
  for (int i = 0; i < registers; ++i) r[i * kWarp + lane] = registers == 4 ? four[i] : two[i];
}

template <class T>
__device__ T as(float x) {
  return static_cast<T>(x);
}

// x [rows, columns] in shared memory, transposed if `turned`.
template <class T>
__device__ Rows<T> put(SharedMemory& shared, const float* x, int rows, int columns, bool turned) {
  const int stride = (turned ? rows : columns) + 16 / static_cast<int>(sizeof(T));
  T* place = shared.take<T>((turned ? columns : rows) * stride);
  for (int i = lane_index(); i < rows * columns; i += kWarp) {
    const int row = i / columns, column = i % columns;
    place[turned ? column * stride + row : row * stride + column] = as<T>(x[i]);
  }
  return {place, stride};
}

template <class T, K kA, K kB>
__device__ void multiply(float* d, const Rows<T>& a, const Rows<T>& b, int depth) {
  for (int m = 0; m < 32; m += 16) {
    Sums sums[2] = {};
    multiply_add<kA, kB>(sums, a, m, b, 0, depth);
    for (int tile = 0; tile < 2; ++tile) {
      for (int i = 0; i < 4; ++i) {
        d[(m + sum_row(i)) * 16 + tile * 8 + sum_column(i)] = sums[tile][i];
      }
    }
  }
}

// Depth 16: the sums of a I are the left operand of the next product.
template <class T, K kB>
__device__ void multiply_chained(float* d, const Rows<T>& a, const Rows<T>& one, const Rows<T>& b) {
  for (int m = 0; m < 32; m += 16) {
    Sums first[2] = {}, sums[2] = {};
    multiply_add<K::inner, K::outer>(first, a, m, one, 0, 16);
    multiply_add<kB>(sums, first, b, 0);
    for (int tile = 0; tile < 2; ++tile) {
      for (int i = 0; i < 4; ++i) {
        d[(m + sum_row(i)) * 16 + tile * 8 + sum_column(i)] = sums[tile][i];
      }
    }
  }
}

template <class T>
__global__ void tiles_kernel(float* d, const float* a, const float* b, int depth, Tiles how) {
  SharedMemory shared;
  const Rows<T> left = put<T>(shared, a, 32, depth, !how.a_inner);
  const Rows<T> right = put<T>(shared, b, depth, 16, how.b_inner);
  T* one = shared.take<T>(how.chained ? 16 * 24 : 0);
  for (int i = lane_index(); how.chained && i < 256; i += kWarp) {
    one[i / 16 * 24 + i % 16] = as<T>(i / 16 == i % 16 ? 1.0F : 0.0F);
  }
  __syncthreads();
  if (how.chained) {
    const Rows<T> identity = {one, 24};
    how.b_inner ? multiply_chained<T, K::inner>(d, left, identity, right)
                : multiply_chained<T, K::outer>(d, left, identity, right);
  } else if (how.a_inner) {
    how.b_inner ? multiply<T, K::inner, K::inner>(d, left, right, depth)
                : multiply<T, K::inner, K::outer>(d, left, right, depth);
  } else {
    how.b_inner ? multiply<T, K::outer, K::inner>(d, left, right, depth)
                : multiply<T, K::outer, K::outer>(d, left, right, depth);
  }
}

__global__ void exchange_kernel(int* out, int width) {
  constexpr unsigned kAll = 0xffffffff;
  const int lane = lane_index();
  out[0 * kWarp + lane] = __shfl_sync(kAll, lane, 5, width);
  out[1 * kWarp + lane] = __shfl_up_sync(kAll, lane, 3, width);
  out[2 * kWarp + lane] = __shfl_down_sync(kAll, lane, 3, width);
  out[3 * kWarp + lane] = __shfl_xor_sync(kAll, lane, 9, width);
  out[4 * kWarp + lane] = static_cast<int>(__ballot_sync(kAll, lane < 3));
  out[5 * kWarp + lane] = __any_sync(kAll, lane < 3);
  out[6 * kWarp + lane] = __all_sync(kAll, lane < 3);
  out[7 * kWarp + lane] = __reduce_add_sync(kAll, lane - 7);
  out[8 * kWarp + lane] = __reduce_min_sync(kAll, lane - 7);
  out[9 * kWarp + lane] = __reduce_max_sync(kAll, lane - 7);
}

__global__ void count_kernel(int* out) {
  const int thread = static_cast<int>(threadIdx.x);
  int result = __syncthreads_count(thread % 3 == 0);
  if (__syncthreads_or(thread == 40)) result += 1000;
  if (__syncthreads_and(thread < 64)) result += 2000;
  out[thread] = result;
}

__global__ void many_products_kernel(float* out, int times) {
  const uint32_t one = pack2<__nv_bfloat16>(1.0F, 1.0F);
  const uint32_t a[4] = {one, one, one, one}, b[2] = {one, one};
  Sums sums = {};
  for (int i = 0; i < times; ++i) mma_bf16(sums, a, b);
  out[threadIdx.x] = sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

Status product(float* d, const float* a, const float* b, Element element) {
  switch (element) {
    case Element::float32:
      return launch(product8_kernel, "product8", {1, kWarp}, d, a, b);
    case Element::bfloat16:
      return launch(product16_kernel<__nv_bfloat16>, "product16", {1, kWarp}, d, a, b);
    default:
      return launch(product16_kernel<__half>, "product16", {1, kWarp}, d, a, b);
  }
}

Status load_matrices(uint32_t* r, const uint16_t* matrices, int registers, Transposed transposed) {
  const size_t bytes = SharedSize().add<uint16_t>(registers * 64).bytes();
  return launch(load_matrices_kernel, "load_matrices", {1, kWarp, bytes}, r, matrices, registers,
                transposed == Transposed::yes);
}

Status tiles(float* d, const float* a, const float* b, int depth, const Tiles& how) {
  const Launch one{1, kWarp, size_t{48} << 10};
  switch (how.element) {
    case Element::float32:
      return launch(tiles_kernel<float>, "tiles", one, d, a, b, depth, how);
    case Element::bfloat16:
      return launch(tiles_kernel<__nv_bfloat16>, "tiles", one, d, a, b, depth, how);
    default:
      return launch(tiles_kernel<__half>, "tiles", one, d, a, b, depth, how);
  }
}

Status exchange(int* out, int width) {
  return launch(exchange_kernel, "exchange", {1, kWarp}, out, width);
}

Status count(int* out, int threads) {
  return launch(count_kernel, "count", {1, threads}, out);
}

Status many_products(float* out, int warps, int times) {
  return launch(many_products_kernel, "many_products", {1, warps * kWarp}, out, times);
}

}  // namespace gamut::cuda::test
