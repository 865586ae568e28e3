// How a signal is cut into segments that are coded each on its own, and joined again: the rule of
// EnCodec at 48 kHz. A model without segments has one, which is the signal.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "shape.h"

namespace gamut::encodec {

// Segments begin every `stride` samples of the signal and are `length` long, or up to its end.
struct Segments {
  int64_t length, stride, hop;
  explicit Segments(const Shape& shape)
      : length(shape.segment), stride(shape.segment_stride), hop(shape.hop_length()) {}

  std::vector<int64_t> lengths(int64_t samples) const;
  // Frames of each segment of so many samples, and of all together.
  std::vector<int64_t> frames(int64_t samples) const;
  int64_t steps(int64_t samples) const;
  // Frames of each segment when there are so many in all: as `frames` divides the signals that
  // give so many. Where none does, the last segment has what is left.
  std::vector<int64_t> layout(int64_t steps) const;
  // Samples of segments of these frames once they are joined.
  int64_t joined(const std::vector<int64_t>& frames) const;
};

// Joins decoded segments [channels, samples] where they overlap: each has the weight of a triangle
// as long as the first one (_linear_overlap_add of the authors' package).
class Joiner {
 public:
  explicit Joiner(int64_t stride) : stride_(stride) {}
  // The next segment; returns the samples [channels, n] that no later one reaches.
  at::Tensor push(const at::Tensor& segment);
  at::Tensor finish();  // the rest; undefined where there was no segment

 private:
  at::Tensor take(int64_t count);

  int64_t stride_;
  at::Tensor triangle_;      // [length of the first segment]
  at::Tensor sum_, weight_;  // of what is not out yet, [channels, n] and [n]
};

}  // namespace gamut::encodec
