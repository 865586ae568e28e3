// Which document a step is of.
#pragma once

#include "cuda/device.cuh"
#include "ops/causal_conv1d/cuda/causal_conv1d.h"

namespace gamut::cuda {

// Steps [begin, end) of the flattened batch.
struct Document {
  int64_t index, begin, end;
};

__device__ inline Document document_of(const CausalConv1dArgs& a, int64_t index) {
  if (!a.offsets) return {index, index * a.time, (index + 1) * a.time};
  return {index, a.offsets[index], a.offsets[index + 1]};
}

__device__ inline Document document_at(const CausalConv1dArgs& a, int64_t step) {
  if (!a.offsets) return document_of(a, step / a.time);
  int64_t first = 0, count = a.documents;  // those that may be it
  while (count > 1) {
    const int64_t half = count / 2;
    const bool is_later = a.offsets[first + half] <= step;
    first += is_later ? half : 0;
    count = is_later ? count - half : half;
  }
  return document_of(a, first);
}

// The one after it, which there must be.
__device__ inline Document next(const CausalConv1dArgs& a, const Document& document) {
  return document_of(a, document.index + 1);
}

}  // namespace gamut::cuda
