// Softmax attention by its definition, for the tests of the attention mixer.
#pragma once

#include <ATen/ATen.h>

#include <limits>

namespace gamut::attention {

// The definition, with the whole matrix of scores: query i of a row sees key j when `seen` says so.
inline at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const at::Tensor& seen, double scale) {
  const int64_t repeat = q.size(1) / k.size(1);
  const auto kr = k.repeat_interleave(repeat, 1), vr = v.repeat_interleave(repeat, 1);
  auto scores = at::matmul(q, kr.transpose(2, 3)) * scale;
  scores =
      scores.masked_fill(seen.logical_not().unsqueeze(1), -std::numeric_limits<double>::infinity());
  return at::matmul(scores.softmax(-1), vr).transpose(1, 2);
}

}  // namespace gamut::attention
