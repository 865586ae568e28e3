// The second of two passes by which sums over a whole tensor are made without atomics: blocks leave
// partial sums in memory, and these are added in a fixed order, so that results are the same in
// every run.
#pragma once

#include <algorithm>

#include "cuda/pack.cuh"

namespace gamut::cuda {

// Columns of the sums: the first `count` of them to `data`, rounded to `element`; null: to nowhere.
struct PartSumsResult {
  void* data = nullptr;
  Element element = Element::float32;
  int64_t count = 0;
};

struct PartSums {
  const float* parts;  // [rows, columns]
  int64_t rows, columns;
  PartSumsResult first, second;  // second: of the columns after the first's
};

namespace {

constexpr int kPartLanes = 32;  // columns of a block, and rows that it adds at a time

__global__ void __launch_bounds__(kPartLanes* kPartLanes) add_parts(PartSums a) {
  SharedMemory shared;
  auto* sums = shared.take<float>(kPartLanes * (kPartLanes + 1));
  const int lane = static_cast<int>(threadIdx.x) % kPartLanes;
  const int from = static_cast<int>(threadIdx.x) / kPartLanes;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kPartLanes + lane;
  float sum = 0;
  if (column < a.columns) {
#pragma unroll 8
    for (int64_t row = from; row < a.rows; row += kPartLanes) {
      sum += a.parts[row * a.columns + column];
    }
  }
  sums[from * (kPartLanes + 1) + lane] = sum;
  __syncthreads();
  if (from != 0 || column >= a.columns) return;
  sum = 0;
  for (int i = 0; i < kPartLanes; ++i) sum += sums[i * (kPartLanes + 1) + lane];
  const bool is_first = column < a.first.count;
  void* const data = is_first ? a.first.data : a.second.data;
  const Element element = is_first ? a.first.element : a.second.element;
  if (data) store_element(data, element, column - (is_first ? 0 : a.first.count), sum);
}

// Launches the addition.
inline Status sum_parts(const PartSums& sums, Stream stream) {
  SharedSize shared;
  shared.add<float>(kPartLanes * (kPartLanes + 1));
  const Launch how{(sums.columns + kPartLanes - 1) / kPartLanes, kPartLanes * kPartLanes,
                   shared.bytes(), stream};
  return launch(add_parts, "add_parts", how, sums);
}

}  // namespace
}  // namespace gamut::cuda
