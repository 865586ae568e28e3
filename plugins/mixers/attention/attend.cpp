// Attention piece by piece; see attend.h.
#include "attend.h"

#include <ATen/ATen.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>
#include <tuple>

namespace gamut::attention {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

Tensor queries_of(const Piece& p, const Tensor& x) {
  return x.narrow(0, p.row, p.rows).narrow(2, p.query, p.queries);
}
Tensor keys_of(const Piece& p, const Tensor& x) {
  return x.narrow(0, p.key_row, p.rows).narrow(2, p.key, p.keys);
}

bool same_queries(const Piece& a, const Piece& b) {
  return a.row == b.row && a.query == b.query;
}

// A piece as the kernel takes it, with as many key heads as query heads. Where a query's own step
// does not matter, or a mask says it, the queries that share a key head become queries of that
// head, and no key is copied; under the kernel's causal mask keys and values are repeated.
class Call {
 public:
  Call(const Piece& piece, int64_t heads, int64_t kv_heads, double scale)
      : p_(piece),
        groups_(heads / kv_heads),
        folds_(groups_ > 1 && p_.sees != Piece::Sees::own_and_earlier),
        scale_(scale) {
    if (p_.mask.defined()) mask_ = folds_ ? p_.mask.repeat({groups_, 1}) : p_.mask;
  }

  // Output [rows, heads, queries, head_dim] and log of the sum of exp of the scores
  // [rows, heads, queries].
  std::tuple<Tensor, Tensor> forward(const Tensor& q, const Tensor& k, const Tensor& v) const {
    const auto [out, sums] = at::_scaled_dot_product_flash_attention_for_cpu(
        fold(queries_of(p_, q)), repeat(keys_of(p_, k)), repeat(keys_of(p_, v)), /*dropout_p=*/0.0,
        causal(), mask_, scale_);
    return {unfold(out), unfold(sums)};
  }

  // `out` and `sums` are those of all pieces of these queries: the gradient of a part of the keys
  // then needs nothing of the others.
  std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& d_out, const Tensor& q, const Tensor& k,
                                              const Tensor& v, const Tensor& out,
                                              const Tensor& sums) const {
    const auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        fold(queries_of(p_, d_out)), fold(queries_of(p_, q)), repeat(keys_of(p_, k)),
        repeat(keys_of(p_, v)), fold(queries_of(p_, out)), fold(queries_of(p_, sums)),
        /*dropout_p=*/0.0, causal(), mask_, scale_);
    return {unfold(dq), sum_of_group(dk), sum_of_group(dv)};
  }

 private:
  bool causal() const { return p_.sees == Piece::Sees::own_and_earlier; }

  // [rows, heads, queries, ...] <-> [rows, kv_heads, groups * queries, ...]
  Tensor fold(const Tensor& x) const {
    return folds_ ? x.unflatten(1, {-1, groups_}).flatten(2, 3) : x;
  }
  Tensor unfold(const Tensor& x) const {
    return folds_ ? x.unflatten(2, {groups_, -1}).flatten(1, 2) : x;
  }
  Tensor repeat(const Tensor& x) const {
    if (groups_ == 1 || folds_) return x;
    return x.unsqueeze(2).expand({-1, -1, groups_, -1, -1}).flatten(1, 2);
  }
  Tensor sum_of_group(const Tensor& x) const {
    return groups_ == 1 || folds_ ? x : x.unflatten(1, {-1, groups_}).sum(2);
  }

  const Piece& p_;
  int64_t groups_;
  bool folds_;
  double scale_;
  std::optional<Tensor> mask_;
};

struct Result {
  Tensor out;   // [batch, queries, heads, head_dim]
  Tensor sums;  // [batch, heads, queries]
};

// Two parts of one softmax: each weighs as much as its sum.
void merge(const Tensor& out, const Tensor& sums, const Tensor& more, const Tensor& more_sums) {
  const auto total = at::logaddexp(sums, more_sums);
  const auto weight = [&](const Tensor& part) { return (part - total).exp().unsqueeze(-1); };
  out.copy_(out * weight(sums) + more * weight(more_sums));
  sums.copy_(total);
}

Result run_forward(const Tensor& q, const Tensor& k, const Tensor& v, const Pieces& pieces,
                   double scale) {
  const int64_t heads = q.size(1), kv_heads = k.size(1);
  if (pieces.size() == 1 && pieces[0].keys > 0) {
    const auto [out, sums] = Call(pieces[0], heads, kv_heads, scale).forward(q, k, v);
    return {out.transpose(1, 2).contiguous(), sums};
  }
  // Merged in float32, as the kernel does inside.
  const auto of_sums = q.options().dtype(q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  const auto out = at::zeros({q.size(0), q.size(2), heads, q.size(3)}, of_sums).transpose(1, 2);
  const auto sums = at::zeros({q.size(0), heads, q.size(2)}, of_sums);
  const Piece* last = nullptr;
  for (const auto& piece : pieces) {
    if (piece.keys == 0) continue;
    const auto [o, s] = Call(piece, heads, kv_heads, scale).forward(q, k, v);
    const auto out_part = queries_of(piece, out), sums_part = queries_of(piece, sums);
    if (last && same_queries(*last, piece)) {
      merge(out_part, sums_part, o, s);
    } else {
      out_part.copy_(o);
      sums_part.copy_(s);
    }
    last = &piece;
  }
  return {out.transpose(1, 2).to(q.scalar_type()), sums};
}

variable_list run_backward(const Tensor& d_out, const Tensor& q, const Tensor& k, const Tensor& v,
                           const Result& result, const Pieces& pieces, double scale) {
  const auto out = result.out.transpose(1, 2);
  auto dy = d_out.transpose(1, 2);
  if (dy.stride(3) != 1) dy = dy.contiguous();
  const auto call = [&](const Piece& piece) {
    return Call(piece, q.size(1), k.size(1), scale).backward(dy, q, k, v, out, result.sums);
  };
  const bool one_for_all = pieces.size() == 1 && pieces[0].rows == k.size(0) &&
                           pieces[0].keys == k.size(2) && pieces[0].keys > 0;
  if (one_for_all) {
    const auto [dq, dk, dv] = call(pieces[0]);
    return {dq, dk, dv};
  }
  const auto type = result.sums.scalar_type();
  const auto zeros = [&](const Tensor& x) { return at::zeros(x.sizes(), x.options().dtype(type)); };
  auto dq = zeros(q), dk = zeros(k), dv = zeros(v);
  for (const auto& piece : pieces) {
    if (piece.keys == 0) continue;
    const auto [q_part, k_part, v_part] = call(piece);
    queries_of(piece, dq).add_(q_part);
    keys_of(piece, dk).add_(k_part);
    keys_of(piece, dv).add_(v_part);
  }
  const auto as = [](const Tensor& d, const Tensor& x) { return d.to(x.scalar_type()); };
  return {as(dq, q), as(dk, k), as(dv, v)};
}

struct Flash : torch::autograd::Function<Flash> {
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                        const std::shared_ptr<const Pieces>& pieces, double scale) {
    const auto result = run_forward(q, k, v, *pieces, scale);
    context->save_for_backward({q, k, v, result.out, result.sums});
    context->saved_data["scale"] = scale;
    context->saved_data["pieces"] = c10::IValue::make_capsule(c10::make_intrusive<Held>(pieces));
    return result.out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    GAMUT_CHECK(!at::GradMode::is_enabled(),
                "attention has no second derivatives; take first ones without create_graph");
    const auto saved = context->get_saved_variables();
    const auto held = context->saved_data["pieces"].toCapsule();
    auto result = run_backward(grads[0], saved[0], saved[1], saved[2], {saved[3], saved[4]},
                               *static_cast<const Held&>(*held).pieces,
                               context->saved_data["scale"].toDouble());
    result.resize(5);
    return result;
  }

 private:
  struct Held : torch::CustomClassHolder {
    explicit Held(std::shared_ptr<const Pieces> p) : pieces(std::move(p)) {}
    std::shared_ptr<const Pieces> pieces;
  };
};

// Any device, any number of derivatives, dropout: LibTorch chooses the kernel of each piece.
Tensor composed(const Tensor& q, const Tensor& k, const Tensor& v, const Pieces& pieces,
                double scale, double dropout) {
  const bool grouped = q.size(1) != k.size(1);
  std::vector<Tensor> rows, parts;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto& p = pieces[i];
    const auto queries = queries_of(p, q);
    const auto mask =
        p.mask.defined() ? std::optional<Tensor>(p.mask.to(q.options())) : std::nullopt;
    parts.push_back(p.keys == 0 ? at::zeros_like(queries)
                                : at::scaled_dot_product_attention(
                                      queries, keys_of(p, k), keys_of(p, v), mask, dropout,
                                      p.sees == Piece::Sees::own_and_earlier, scale, grouped));
    if (i + 1 < pieces.size() && pieces[i + 1].row == p.row) continue;
    rows.push_back(parts.size() == 1 ? parts[0] : at::cat(parts, 2));
    parts.clear();
  }
  return (rows.size() == 1 ? rows[0] : at::cat(rows)).transpose(1, 2).contiguous();
}

}  // namespace

bool can_split_keys(const Tensor& q, double dropout) {
  return q.device().is_cpu() && dropout == 0;
}

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const Pieces& pieces, double scale,
              double dropout) {
  if (!can_split_keys(q, dropout)) return composed(q, k, v, pieces, scale, dropout);
  const bool differentiates =
      at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
  if (!differentiates) return run_forward(q, k, v, pieces, scale).out;
  return Flash::apply(q, k, v, std::make_shared<const Pieces>(pieces), scale);
}

}  // namespace gamut::attention
