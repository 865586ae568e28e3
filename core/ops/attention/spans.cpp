// The checks of gamut::attention's arguments; see spans.h.
#include "ops/attention/spans.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include <algorithm>

namespace gamut::ops {
namespace {

using at::Tensor;
using Spans = std::vector<AttentionSpan>;

void check_tensors(const Tensor& q, const Tensor& k, const Tensor& v) {
  GAMUT_CHECK(q.dim() == 4 && q.size(3) > 0,
              "attention: q must be [batch, queries, heads, head_dim]; it is ", q.sizes());
  GAMUT_CHECK(q.is_floating_point(), "attention: q must be a floating-point tensor, not ",
              q.scalar_type());
  GAMUT_CHECK(k.dim() == 4 && k.size(3) == q.size(3),
              "attention: k must be [rows, keys, kv_heads, head_dim = ", q.size(3), "]; it is ",
              k.sizes());
  GAMUT_CHECK(k.size(2) > 0 && q.size(2) % k.size(2) == 0, "attention: the heads of k, ", k.size(2),
              ", must divide those of q, ", q.size(2));
  GAMUT_CHECK(v.sizes() == k.sizes(), "attention: v must be ", k.sizes(), " as k; it is ",
              v.sizes());
  for (const auto& x : {k, v}) {
    GAMUT_CHECK(x.scalar_type() == q.scalar_type() && x.device() == q.device(),
                "attention: k and v must be ", q.scalar_type(), " on ", q.device(),
                " as q; one is ", x.scalar_type(), " on ", x.device());
  }
}

Spans whole_rows(const Tensor& q, const Tensor& k) {
  GAMUT_CHECK(k.size(0) == q.size(0), "attention: without spans k must have as many rows as q, ",
              q.size(0), "; it has ", k.size(0));
  Spans result;
  for (int64_t row = 0; row < q.size(0); ++row) {
    result.push_back({row, 0, q.size(1), row, 0, k.size(1)});
  }
  return result;
}

void check_range(const char* what, int64_t index, int64_t row, int64_t first, int64_t count,
                 const Tensor& x) {
  GAMUT_CHECK(row >= 0 && row < x.size(0) && first >= 0 && count >= 0 && first <= x.size(1) - count,
              "attention: span ", index, " has ", count, " ", what, " from ", first, " on of row ",
              row, ", but there are ", x.size(0), " rows of ", x.size(1));
}

// Half-open ranges of a row; throws when two of them meet.
struct Range {
  int64_t row, begin, end;
};
void check_apart(const char* what, std::vector<Range> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return std::pair(a.row, a.begin) < std::pair(b.row, b.begin);
  });
  for (size_t i = 1; i < ranges.size(); ++i) {
    GAMUT_CHECK(ranges[i].row != ranges[i - 1].row || ranges[i].begin >= ranges[i - 1].end,
                "attention: two spans share ", what, " of row ", ranges[i].row, ", those from ",
                ranges[i].begin, " on; every one must belong to one span");
  }
}

Spans read(const Tensor& given, const Tensor& q, const Tensor& k) {
  GAMUT_CHECK(given.dim() == 2 && given.size(1) == 6 && given.scalar_type() == at::kLong &&
                  given.device().is_cpu(),
              "attention: spans must be int64 [spans, 6] on the CPU: row, first query, queries, "
              "row of k, first key, keys; they are ",
              given.scalar_type(), " ", given.sizes(), " on ", given.device());
  const auto lines = given.contiguous();
  const auto* line = lines.const_data_ptr<int64_t>();
  Spans result;
  std::vector<Range> queries, keys;
  for (int64_t i = 0; i < given.size(0); ++i, line += 6) {
    const AttentionSpan s{line[0], line[1], line[2], line[3], line[4], line[5]};
    check_range("queries", i, s.row, s.query, s.queries, q);
    check_range("keys", i, s.key_row, s.key, s.keys, k);
    if (s.queries > 0) queries.push_back({s.row, s.query, s.query + s.queries});
    if (s.keys > 0) keys.push_back({s.key_row, s.key, s.key + s.keys});
    result.push_back(s);
  }
  check_apart("queries", std::move(queries));
  check_apart("keys", std::move(keys));
  return result;
}

}  // namespace

Spans attention_spans(const Tensor& q, const Tensor& k, const Tensor& v, bool causal,
                      int64_t window, const std::optional<Tensor>& spans) {
  check_tensors(q, k, v);
  GAMUT_CHECK(window >= 0, "attention: window = ", window, " must be 0 (all) or more");
  GAMUT_CHECK(causal || window == 0, "attention: window = ", window, " needs causal = true");
  return spans ? read(*spans, q, k) : whole_rows(q, k);
}

}  // namespace gamut::ops
