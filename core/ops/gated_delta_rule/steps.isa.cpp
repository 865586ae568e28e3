// The recurrence step by step, for decoding: the state is read once and written once a step.
#include "ops/gated_delta_rule/chunk.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

template <class T, class E>
class Steps {
 public:
  explicit Steps(const DeltaRuleForward& call)
      : call_(call),
        sizes_(call.sizes),
        pieces_(static_cast<T*>(call.scratch)),
        s_(pieces_, sizes_) {
    const int64_t head = call.sequence * sizes_.value_heads + call.head;
    const int64_t offset = head * sizes_.d_k * sizes_.d_v + call.column;
    before_ = call.initial_state ? static_cast<const T*>(call.initial_state) + offset : nullptr;
    after_ = static_cast<T*>(call.final_state) + offset;
  }

  void run() {
    for (int64_t step = call_.first; step < call_.last; ++step) {
      load_step(step);
      int64_t column = 0;
      for (; column + 4 * kLanes<T> <= call_.columns; column += 4 * kLanes<T>) strip<4>(column);
      for (; column + kLanes<T> <= call_.columns; column += kLanes<T>) strip<1>(column);
      if (column < call_.columns) narrow_strip(column);
      before_ = after_;
      store_step(step);
    }
  }

 private:
  struct State {
    const T* before;  // null: zero
    T* after;
    int64_t row;
  };

  void load_step(int64_t step) {
    const int64_t key_head = call_.head / (sizes_.value_heads / sizes_.heads);
    load_one_row(call_.q, key_head, 0, sizes_.d_k, step, s_.q);
    load_one_row(call_.k, key_head, 0, sizes_.d_k, step, s_.k);
    load_one_row(call_.v, call_.head, call_.column, call_.columns, step, s_.v);
    const int64_t gate = step * sizes_.value_heads + call_.head;
    const T g = static_cast<const T*>(call_.g)[gate];
    decay_ = exp(splat(g))[0];
    beta_ = static_cast<const T*>(call_.beta)[gate];
    matched_ = dot(s_.q, s_.k, delta_rule_padded(sizes_.d_k));
  }

  void load_one_row(const DeltaRuleRows& from, int64_t head, int64_t column, int64_t n,
                    int64_t step, T* to) const {
    load_row(static_cast<const E*>(from.data) + step * from.step_stride + head * from.head_stride +
                 column,
             n, to, delta_rule_padded(n));
  }

  void store_step(int64_t step) const {
    const int64_t row = (step * sizes_.value_heads + call_.head) * sizes_.d_v + call_.column;
    store_row(s_.output, call_.columns, static_cast<E*>(call_.output) + row);
  }

  template <int kVectors>
  void strip(int64_t column) {
    update<kVectors>({before_ ? before_ + column : nullptr, after_ + column, sizes_.d_v}, column);
  }

  // Less than a vector: through a padded copy.
  void narrow_strip(int64_t column) {
    const int64_t n = call_.columns - column, row = kLanes<T>;
    for (int64_t i = 0; before_ && i < sizes_.d_k; ++i) {
      load_row(before_ + column + i * sizes_.d_v, n, s_.state + i * row, row);
    }
    update<1>({before_ ? s_.state : nullptr, s_.state, row}, column);
    for (int64_t i = 0; i < sizes_.d_k; ++i) {
      store_row(s_.state + i * row, n, after_ + column + i * sizes_.d_v);
    }
  }

  // With d = beta (v - e S^T k): S becomes e S + k d^T, and o = scale (e S^T q + (q . k) d), so
  // that both products read the state before it is written.
  template <int kVectors>
  void update(const State& state, int64_t column) {
    Vec<T> by_k[kVectors] = {}, by_q[kVectors] = {};
    for (int64_t i = 0; state.before && i < sizes_.d_k; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Vec<T> x = load(state.before + i * state.row + v * kLanes<T>);
        by_k[v] += x * s_.k[i];
        by_q[v] += x * s_.q[i];
      }
    }
    const T scale = static_cast<T>(sizes_.scale);
    Vec<T> error[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = column + v * kLanes<T>;
      error[v] = multiply_add(by_k[v], splat(-decay_), load(s_.v + at)) * beta_;
      const Vec<T> read = multiply_add(by_q[v], splat(decay_), error[v] * matched_);
      store(s_.output + at, read * scale);
    }
    for (int64_t i = 0; i < sizes_.d_k; ++i) {
      const T key = s_.k[i];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const int64_t at = i * state.row + v * kLanes<T>;
        const Vec<T> old = state.before ? load(state.before + at) : Vec<T>{};
        store(state.after + at, multiply_add(old, splat(decay_), error[v] * key));
      }
    }
  }

  const DeltaRuleForward& call_;
  const DeltaRuleSizes& sizes_;
  Pieces<T> pieces_;
  StepScratch<T> s_;
  const T* before_;
  T* after_;
  T decay_ = 0, beta_ = 0, matched_ = 0;
};

}  // namespace

void delta_rule_steps(const DeltaRuleForward& call) {
  switch (call.sizes.element) {
    case Element::float32:
      return Steps<float, float>(call).run();
    case Element::bfloat16:
      return Steps<float, BFloat16>(call).run();
    case Element::float64:
      return Steps<double, double>(call).run();
  }
}

}  // namespace gamut::ops::GAMUT_ISA
