// Attention by its definition, span by span; see attention.h.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "ops/attention/attention.h"
#include "ops/attention/spans.h"
#include "ops/rows.h"

namespace gamut::ops {
namespace {

using at::Tensor;

constexpr double kHidden = -std::numeric_limits<double>::infinity();

// [queries, keys]: which keys are not seen.
Tensor hidden(int64_t queries, int64_t keys, bool causal, int64_t window, at::Device device) {
  const auto integers = at::TensorOptions().dtype(at::kLong).device(device);
  if (!causal) return at::zeros({queries, keys}, integers.dtype(at::kBool));
  const auto last = at::arange(queries, integers).unsqueeze(1) + (keys - queries);
  const auto age = last - at::arange(keys, integers);
  auto result = age < 0;
  if (window > 0) result = result.logical_or(age >= window);
  return result;
}

}  // namespace

Tensor attention_reference(const Tensor& q, const Tensor& k, const Tensor& v,
                           std::optional<double> scale, bool causal, int64_t window,
                           const std::optional<Tensor>& spans) {
  const auto list = attention_spans(q, k, v, causal, window, spans);
  const int64_t groups = q.size(2) / k.size(2);
  const double factor = scale.value_or(1 / std::sqrt(static_cast<double>(q.size(3))));
  const auto type = sum_type(q);
  // [heads, steps, head_dim]
  const auto part = [&](const Tensor& x, int64_t row, int64_t first, int64_t count) {
    return x.select(0, row).narrow(0, first, count).transpose(0, 1).to(type);
  };
  auto y = at::zeros_like(q, q.options().dtype(type));
  for (const auto& s : list) {
    const auto keys = part(k, s.key_row, s.key, s.keys).repeat_interleave(groups, 0);
    const auto values = part(v, s.key_row, s.key, s.keys).repeat_interleave(groups, 0);
    const auto unseen = hidden(s.queries, s.keys, causal, window, q.device());
    const auto scores =
        at::matmul(part(q, s.row, s.query, s.queries), keys.transpose(1, 2)) * factor;
    const auto weights = scores.masked_fill(unseen, kHidden).softmax(-1).masked_fill(unseen, 0);
    const auto out = at::matmul(weights, values).transpose(0, 1);
    y = y.slice_scatter(
        y.select(0, s.row).slice_scatter(out, 0, s.query, s.query + s.queries).unsqueeze(0), 0,
        s.row, s.row + 1);
  }
  return y.to(q.scalar_type());
}

}  // namespace gamut::ops
