#include "segments.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

namespace gamut::encodec {
namespace {

int64_t sum(const std::vector<int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), int64_t{0});
}

}  // namespace

std::vector<int64_t> Segments::lengths(int64_t samples) const {
  std::vector<int64_t> all;
  for (int64_t from = 0; from < samples; from += stride) {
    all.push_back(std::min(length, samples - from));
  }
  return all;
}

std::vector<int64_t> Segments::frames(int64_t samples) const {
  std::vector<int64_t> all = lengths(samples);
  for (int64_t& one : all) one = (one + hop - 1) / hop;
  return all;
}

// Segments but for the last few are full, so that these few decide.
int64_t Segments::steps(int64_t samples) const {
  const int64_t full = samples > 2 * length ? (samples - 2 * length) / stride : 0;
  return full * ((length + hop - 1) / hop) + sum(frames(samples - full * stride));
}

std::vector<int64_t> Segments::layout(int64_t steps) const {
  if (steps == 0) return {};
  // The longest signal with no more steps; steps(samples) never falls.
  int64_t low = 0, high = steps * hop + length;
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (this->steps(middle) <= steps) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  std::vector<int64_t> all = frames(low);
  all.back() += steps - sum(all);
  return all;
}

int64_t Segments::joined(const std::vector<int64_t>& frames) const {
  int64_t from = 0, end = 0;
  for (int64_t count : frames) {
    end = std::max(end, from + count * hop);
    from += stride;
  }
  return end;
}

at::Tensor Joiner::push(const at::Tensor& segment) {
  const int64_t length = segment.size(1);
  if (!triangle_.defined()) {
    const at::Tensor t = at::linspace(0, 1, length + 2, segment.options()).slice(0, 1, length + 1);
    triangle_ = 0.5 - (t - 0.5).abs();
    sum_ = segment.new_zeros({segment.size(0), 0});
    weight_ = segment.new_zeros({0});
  }
  // This segment begins where `take` of the one before ended.
  const int64_t missing = std::max<int64_t>(0, length - weight_.size(0));
  sum_ = at::constant_pad_nd(sum_, {0, missing});
  weight_ = at::constant_pad_nd(weight_, {0, missing});
  const at::Tensor triangle = triangle_.slice(0, 0, length);
  sum_.slice(1, 0, length).add_(triangle * segment);
  weight_.slice(0, 0, length).add_(triangle);
  return take(stride_);
}

at::Tensor Joiner::finish() {
  return triangle_.defined() ? take(weight_.size(0)) : at::Tensor();
}

at::Tensor Joiner::take(int64_t count) {
  const at::Tensor out = sum_.slice(1, 0, count) / weight_.slice(0, 0, count);
  sum_ = sum_.slice(1, count);
  weight_ = weight_.slice(0, count);
  return out;
}

}  // namespace gamut::encodec
