// Causal attention by blocks of queries; see causal.h.
#include "causal.h"

#include <ATen/ATen.h>

namespace gamut::attention {

using at::Tensor;

namespace {

constexpr int64_t kQueryBlock = 256;

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const std::optional<Tensor>& mask,
              bool is_causal, double scale) {
  const bool grouped = q.size(1) != k.size(1);
  return at::scaled_dot_product_attention(q, k, v, mask, /*dropout_p=*/0.0, is_causal, scale,
                                          grouped);
}

// Queries [first, first + count) of a window over keys that begin at `key_first`: true where seen.
Tensor band(int64_t first, int64_t count, int64_t key_first, int64_t keys, int64_t window,
            at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(device);
  const auto age = at::arange(first, first + count, options).unsqueeze(1) -
                   at::arange(key_first, key_first + keys, options);
  const auto seen = age >= 0;
  return window > 0 ? seen.logical_and(age < window) : seen;
}

}  // namespace

Tensor causal_attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t window,
                        double scale) {
  const int64_t queries = q.size(2), keys = k.size(2), offset = keys - queries;
  if (offset == 0 && (window == 0 || queries <= window)) {
    return attend(q, k, v, std::nullopt, /*is_causal=*/queries > 1, scale);
  }
  std::vector<Tensor> outputs;
  for (int64_t begin = 0; begin < queries; begin += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, queries - begin);
    const int64_t first = offset + begin;  // as a key
    const int64_t key_first = window > 0 ? std::max<int64_t>(0, first - window + 1) : 0;
    const int64_t seen = first + count - key_first;
    std::optional<Tensor> mask;
    if (count > 1) mask = band(first, count, key_first, seen, window, q.device());
    outputs.push_back(attend(q.narrow(2, begin, count), k.narrow(2, key_first, seen),
                             v.narrow(2, key_first, seen), mask, false, scale));
  }
  return outputs.size() == 1 ? outputs[0] : at::cat(outputs, 2);
}

}  // namespace gamut::attention
