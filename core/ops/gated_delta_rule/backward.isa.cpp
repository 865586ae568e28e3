// The backward pass of the value heads that share one head of q and k, from the last chunk of a
// sequence, or of a piece of it, to the first. A and V' are computed again from the state that
// entered the chunk.
#include "ops/gated_delta_rule/chunk.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

template <class T, class E>
class Backward {
 public:
  explicit Backward(const DeltaRuleBackward& call)
      : call_(call),
        sizes_(call.sizes),
        pieces_(static_cast<T*>(call.scratch)),
        s_(pieces_, call.sizes, call.columns),
        shared_(call.sizes.value_heads / call.sizes.heads) {}

  void run() {
    load_final();
    const int64_t c = sizes_.chunk;
    for (int64_t chunk = (call_.last - call_.first - 1) / c; chunk >= 0; --chunk) {
      const Span span(call_.first + chunk * c, call_.last, c);
      q_ = s_.x;
      k_ = s_.x + span.rows * s_.dk;
      load_rows<T, E>(call_.q, call_.head, 0, sizes_.d_k, span, q_, s_.dk);
      load_rows<T, E>(call_.k, call_.head, 0, sizes_.d_k, span, k_, s_.dk);
      multiply_keys(q_, k_, span, sizes_.d_k, s_);
      if (!state_alone()) {
        clear(s_.d_q, span.rows * s_.dk);
        clear(s_.d_k, span.rows * s_.dk);
      }
      for (int64_t i = 0; i < shared_; ++i) {
        head_ = call_.head * shared_ + i;
        d_state_ = s_.d_state + i * sizes_.d_k * s_.dv;
        d_o_ = s_.y;
        z_ = s_.y + span.rows * s_.dv;
        load_gates(call_, head_, span, s_);
        load_rows<T, E>(call_.d_output, head_, call_.column, call_.columns, span, d_o_, s_.dv);
        if (state_alone()) {
          run_state(span);
        } else {
          state_ = static_cast<const T*>(call_.states) +
                   (chunk * sizes_.value_heads + head_) * sizes_.d_k * s_.dv;
          run_chunk(span);
        }
      }
      if (!state_alone()) {
        store_rows(span, s_.d_q, s_.dk, sizes_.d_k, call_.d_q, sizes_.heads, call_.head);
        store_rows(span, s_.d_k, s_.dk, sizes_.d_k, call_.d_k, sizes_.heads, call_.head);
      }
    }
    if (call_.d_initial) store_initial();
  }

 private:
  bool state_alone() const { return !call_.d_q; }

  // What of a chunk the gradient of the state before it needs.
  void run_state(const Span& span) {
    look_ahead(span);
    decay_products<T>(span, static_cast<T>(sizes_.scale), nullptr, s_);
    ahead_.advance();
    ahead_.advance();
    differentiate_errors(span);
    ahead_.advance();
    ahead_.advance();
    differentiate_state(span);
  }

  void run_chunk(const Span& span) {
    load_rows<T, E>(call_.v, head_, 0, sizes_.d_v, span, s_.v, s_.dv);
    look_ahead(span);
    decay_products<T>(span, static_cast<T>(sizes_.scale), s_.gam, s_);
    for (int64_t i = 0; i < span.rows * s_.dv; i += kLanes<T>) store(s_.errors + i, load(s_.v + i));
    solve_errors(k_, state_, s_.dv, span, sizes_.d_k, s_);
    ahead_.advance();
    differentiate_errors(span);
    ahead_.advance();
    differentiate_products(span);
    ahead_.advance();
    differentiate_queries_and_keys(span);
    ahead_.advance();
    differentiate_gates(span);
    store_values_and_strengths(span);
    differentiate_state(span);
  }

  // The chunk before this one; what this one writes.
  void look_ahead(const Span& span) {
    ahead_.clear();
    if (!state_alone()) look_ahead_to_write(span);
    if (span.first == call_.first) return;
    const Span next(span.first - sizes_.chunk, span.first, sizes_.chunk);
    if (head_ % shared_ == 0) {
      ahead_.add<E>(call_.q, call_.head, 0, sizes_.d_k, next);
      ahead_.add<E>(call_.k, call_.head, 0, sizes_.d_k, next);
    }
    ahead_.add<E>(call_.d_output, head_, call_.column, call_.columns, next);
    if (!state_alone()) ahead_.add<E>(call_.v, head_, 0, sizes_.d_v, next);
  }

  void look_ahead_to_write(const Span& span) {
    const int64_t dk = sizes_.d_k, dv = sizes_.d_v;
    ahead_.add<E>({call_.d_v, sizes_.value_heads * dv, dv}, head_, 0, dv, span, true);
    if (head_ % shared_ == 0) {
      ahead_.add<E>({call_.d_q, sizes_.heads * dk, dk}, call_.head, 0, dk, span, true);
      ahead_.add<E>({call_.d_k, sizes_.heads * dk, dk}, call_.head, 0, dk, span, true);
    }
  }

  // Z = (I + A)^-T dV' with dV' = P^T dO + diag(rho) K dH.
  void differentiate_errors(const Span& span) {
    const Output<T> out{z_, s_.dv, T(1), s_.left};
    gemm<T>(span.rows, s_.dv, sizes_.d_k, {k_, s_.dk, 1}, {d_state_, s_.dv}, out);
    gemm<T>(span.rows, s_.dv, span.rows, Left<T>{s_.p, s_.c, 1}.transposed(), {d_o_, s_.dv},
            Output<T>{z_, s_.dv}.added(), Shape::upper);
    solve_unit_lower<T>(span.rows, s_.dv, s_.a, s_.c, z_, s_.dv, /*transposed=*/true);
  }

  // From E = tril(dO V'^T) and F = -strict_tril(Z V'^T), the gradients of P / scale and A:
  // dP = scale E . Gam in d_p, dX = F . Gam in d_x, diag(beta) dX in a, and in w what each pair of
  // steps adds to the gradient of every gate between them: E . P + F . A.
  void differentiate_products(const Span& span) {
    transpose(s_.errors, s_.dv, span.rows, s_.dv, s_.errors_transposed, s_.c);
    const Right<T> right{s_.errors_transposed, s_.c};
    gemm_lower<T>(span.rows, sizes_.d_v, {d_o_, s_.dv, 1}, right, {s_.d_p, s_.c});
    gemm_lower<T>(span.rows, sizes_.d_v, {z_, s_.dv, 1}, right, {s_.d_x, s_.c, T(-1)});
    const T scale = static_cast<T>(sizes_.scale);
    for (int64_t i = 0; i < span.rows; ++i) {
      const T beta = s_.beta[i];
      for (int64_t j = 0; j <= i; j += kLanes<T>) {
        const int64_t at = i * s_.c + j;
        const Vec<T> column = iota<T>(j), zero{}, gam = load(s_.gam + at);
        const auto below = column < static_cast<T>(i);
        const Vec<T> e = column <= static_cast<T>(i) ? load(s_.d_p + at) : zero;
        const Vec<T> f = below ? load(s_.d_x + at) : zero;
        const Vec<T> pair = e * load(s_.p + at) + f * load(s_.a + at);
        store(s_.w + at, below ? pair : zero);
        store(s_.d_p + at, e * gam * scale);
        store(s_.d_x + at, f * gam);
        store(s_.a + at, f * gam * beta);
      }
    }
  }

  // dQ = scale diag(e) dO S^T + dP K, and dK in two parts: what beta multiplies,
  //   Y = dX K - diag(e) Z S^T, and the rest, diag(rho) V' dH^T + dP^T Q + dX^T diag(beta) K.
  // On the way: `through`, what the gate of a step and all before it get from rows that read the
  // entering state, and `written`, what all gates after a step get from what it left in the state.
  void differentiate_queries_and_keys(const Span& span) {
    const int64_t rows = span.rows, dk = s_.dk;
    T *d_q = s_.d_xs, *y = s_.d_xs + rows * dk;
    transpose(state_, s_.dv, sizes_.d_k, s_.dv, s_.s_transposed, dk);
    transpose(d_state_, s_.dv, sizes_.d_k, s_.dv, s_.d_s_transposed, dk);
    const Right<T> s_t{s_.s_transposed, dk}, d_s_t{s_.d_s_transposed, dk}, keys{k_, dk};
    set_reading_factors(span);
    gemm<T>(rows, dk, sizes_.d_v, {d_o_, s_.dv, 1}, s_t, {d_q, dk, T(1), s_.factor});
    gemm<T>(rows, dk, sizes_.d_v, {z_, s_.dv, 1}, s_t, {y, dk, T(-1), s_.decayed});
    gemm<T>(rows, dk, sizes_.d_v, {s_.errors, s_.dv, 1}, d_s_t, {s_.d_keys, dk, T(1), s_.left});
    for (int64_t i = 0; i < rows; ++i) {
      s_.through[i] =
          dot(q_ + i * dk, d_q + i * dk, dk) + s_.beta[i] * dot(k_ + i * dk, y + i * dk, dk);
      s_.written[i] = dot(k_ + i * dk, s_.d_keys + i * dk, dk);
    }
    gemm<T>(rows, dk, rows, {s_.d_p, s_.c, 1}, keys, Output<T>{d_q, dk}.added(), Shape::lower);
    gemm<T>(rows, dk, rows, {s_.d_x, s_.c, 1}, keys, Output<T>{y, dk}.added(), Shape::lower);
    const Output<T> rest = Output<T>{s_.d_keys, dk}.added();
    gemm<T>(rows, dk, rows, Left<T>{s_.d_p, s_.c, 1}.transposed(), {q_, dk}, rest, Shape::upper);
    gemm<T>(rows, dk, rows, Left<T>{s_.a, s_.c, 1}.transposed(), keys, rest, Shape::upper);
  }

  // dg_t is the sum of all that passes through the decay of step t, and of nothing that does not:
  // differences of larger sums would lose small gradients.
  //   exp(G_C) <S, dH> + sum_{i >= t} through_i + sum_{i < t} written_i + sum_{i >= t > j} w_ij
  void differentiate_gates(const Span& span) {
    T whole = 0;
    for (int64_t i = 0; i < sizes_.d_k; ++i) {
      whole += dot(state_ + i * s_.dv, d_state_ + i * s_.dv, s_.dv);
    }
    whole *= s_.decayed[span.rows - 1];
    clear(s_.column_sums, span.rows);
    T after = 0;
    for (int64_t t = span.steps - 1; t >= 0; --t) {
      after += s_.through[t];
      Vec<T> before{};
      for (int64_t j = 0; j <= t; j += kLanes<T>) {
        const Vec<T> sums = load(s_.column_sums + j) + load(s_.w + t * s_.c + j);
        store(s_.column_sums + j, sums);
        before += iota<T>(j) < static_cast<T>(t) ? sums : Vec<T>{};
      }
      s_.d_gate[t] = whole + after + sum(before);
    }
    T* d_g = static_cast<T*>(call_.d_g) + span.first * sizes_.value_heads + head_;
    T earlier = 0;
    for (int64_t t = 0; t < span.steps; ++t) {
      d_g[t * sizes_.value_heads] = s_.d_gate[t] + earlier;
      earlier += s_.written[t];
    }
  }

  // dV = beta Z, dbeta = rowsum(Z . V) + rowsum(K . Y), dK = beta Y + the rest.
  void store_values_and_strengths(const Span& span) {
    const int64_t dk = s_.dk, dv = s_.dv;
    const T* y = s_.d_xs + span.rows * dk;
    T* d_beta = static_cast<T*>(call_.d_beta) + span.first * sizes_.value_heads + head_;
    for (int64_t i = 0; i < span.steps; ++i) {
      const T* z = z_ + i * dv;
      d_beta[i * sizes_.value_heads] = dot(z, s_.v + i * dv, dv) + dot(k_ + i * dk, y + i * dk, dk);
      for (int64_t j = 0; j < dv; j += kLanes<T>) {
        store(s_.v + i * dv + j, load(z + j) * s_.beta[i]);
      }
      for (int64_t j = i * dk; j < (i + 1) * dk; j += kLanes<T>) {
        store(s_.d_q + j, load(s_.d_q + j) + load(s_.d_xs + j));
        store(s_.d_k + j, load(s_.d_k + j) + load(s_.d_keys + j) + load(y + j) * s_.beta[i]);
      }
    }
    store_rows(span, s_.v, dv, sizes_.d_v, call_.d_v, sizes_.value_heads, head_);
  }

  void set_reading_factors(const Span& span) {
    const T scale = static_cast<T>(sizes_.scale);
    for (int64_t i = 0; i < span.rows; ++i) s_.factor[i] = s_.decayed[i] * scale;
  }

  // dS = exp(G_C) dH + scale (diag(e) Q)^T dO - (diag(beta e) K)^T Z, as one product of [Q; K].
  void differentiate_state(const Span& span) {
    set_reading_factors(span);
    for (int64_t i = 0; i < span.rows; ++i) {
      scale_row(d_o_ + i * s_.dv, s_.dv, s_.factor[i]);
      scale_row(z_ + i * s_.dv, s_.dv, -s_.beta[i] * s_.decayed[i]);
    }
    Output<T> out = Output<T>{d_state_, s_.dv}.added();
    out.keep = s_.decayed[span.rows - 1];
    gemm<T>(sizes_.d_k, s_.dv, 2 * span.rows, Left<T>{s_.x, s_.dk, 1}.transposed(), {s_.y, s_.dv},
            out);
  }

  // ---- In and out ----

  // Row `row` of the i-th of the value heads among gradients of states.
  int64_t state_row(int64_t i, int64_t row) const {
    const int64_t head = call_.head * shared_ + i;
    return (head * sizes_.d_k + row) * sizes_.d_v + call_.column;
  }

  void load_final() {
    const T* from = static_cast<const T*>(call_.d_final);
    for (int64_t i = 0; i < shared_; ++i) {
      for (int64_t row = 0; row < sizes_.d_k; ++row) {
        T* to = s_.d_state + (i * sizes_.d_k + row) * s_.dv;
        if (from) {
          load_row(from + state_row(i, row), call_.columns, to, s_.dv);
        } else {
          clear(to, s_.dv);
        }
      }
    }
  }

  void store_initial() const {
    T* to = static_cast<T*>(call_.d_initial);
    for (int64_t i = 0; i < shared_; ++i) {
      for (int64_t row = 0; row < sizes_.d_k; ++row) {
        const T* from = s_.d_state + (i * sizes_.d_k + row) * s_.dv;
        store_row(from, call_.columns, to + state_row(i, row));
      }
    }
  }

  void store_rows(const Span& span, const T* from, int64_t padded, int64_t n, void* to,
                  int64_t heads, int64_t head) const {
    E* row = static_cast<E*>(to) + (span.first * heads + head) * n;
    for (int64_t i = 0; i < span.steps; ++i) store_row(from + i * padded, n, row + i * heads * n);
  }

  const DeltaRuleBackward& call_;
  const DeltaRuleSizes& sizes_;
  Pieces<T> pieces_;
  BackwardScratch<T> s_;
  Ahead ahead_;
  int64_t shared_;  // value heads that read this head of q and k
  // Of the chunk and head at hand.
  int64_t head_ = 0;  // of the values
  T *q_ = nullptr, *k_ = nullptr, *d_o_ = nullptr, *z_ = nullptr;
  T* d_state_ = nullptr;
  const T* state_ = nullptr;
};

}  // namespace

void delta_rule_backward(const DeltaRuleBackward& call) {
  switch (call.sizes.element) {
    case Element::float32:
      return Backward<float, float>(call).run();
    case Element::bfloat16:
      return Backward<float, BFloat16>(call).run();
    case Element::float64:
      return Backward<double, double>(call).run();
  }
}

}  // namespace gamut::ops::GAMUT_ISA
