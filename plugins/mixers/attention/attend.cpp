// Attention by our own kernel or LibTorch's; see attend.h.
#include "attend.h"

#include <ATen/ATen.h>
#include <gamut/ops/attention.h>

#include <algorithm>

#include "pieces.h"

namespace gamut::attention {

using at::Tensor;

namespace {

// As gamut::attention takes them; undefined where row i sees row i from end to end.
Tensor lines(const Seen& seen, const Tensor& q, const Tensor& k) {
  const auto whole = [&](const Span& s) {
    return s.row == s.key_row && s.queries == q.size(2) && s.keys == k.size(2);
  };
  if (q.size(0) == k.size(0) && std::all_of(seen.spans.begin(), seen.spans.end(), whole)) {
    return Tensor();
  }
  const auto result = at::empty({static_cast<int64_t>(seen.spans.size()), 6}, at::kLong);
  auto* line = result.mutable_data_ptr<int64_t>();
  for (const auto& s : seen.spans) {
    for (const int64_t x : {s.row, s.query, s.queries, s.key_row, s.key, s.keys}) *line++ = x;
  }
  return result;
}

// Any device, dropout: LibTorch chooses the kernel of each piece.
Tensor composed(const Tensor& q, const Tensor& k, const Tensor& v, const Pieces& pieces,
                double scale, double dropout) {
  const bool grouped = q.size(1) != k.size(1);
  std::vector<Tensor> rows, parts;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto& p = pieces[i];
    const auto queries = q.narrow(0, p.row, p.rows).narrow(2, p.query, p.queries);
    const auto keys_of = [&](const Tensor& x) {
      return x.narrow(0, p.key_row, p.rows).narrow(2, p.key, p.keys);
    };
    const auto mask =
        p.mask.defined() ? std::optional<Tensor>(p.mask.to(q.options())) : std::nullopt;
    parts.push_back(p.keys == 0 ? at::zeros_like(queries)
                                : at::scaled_dot_product_attention(
                                      queries, keys_of(k), keys_of(v), mask, dropout,
                                      p.sees == Piece::Sees::own_and_earlier, scale, grouped));
    if (i + 1 < pieces.size() && pieces[i + 1].row == p.row) continue;
    rows.push_back(parts.size() == 1 ? parts[0] : at::cat(parts, 2));
    parts.clear();
  }
  return (rows.size() == 1 ? rows[0] : at::cat(rows)).transpose(1, 2).contiguous();
}

}  // namespace

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const Seen& seen, double scale,
              double dropout) {
  if (q.device().is_cpu() && dropout == 0) {
    return ops::attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), scale,
                          seen.causal, seen.window, lines(seen, q, k));
  }
  const auto mask = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return composed(q, k, v, pieces_of(seen, q.options().dtype(mask)), scale, dropout);
}

}  // namespace gamut::attention
