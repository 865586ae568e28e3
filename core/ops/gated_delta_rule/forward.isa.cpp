// The forward pass of one value head, or a slice of its columns, through the chunks of a sequence.
#include "ops/gated_delta_rule/chunk.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

template <class T, class E>
class Forward {
 public:
  explicit Forward(const DeltaRuleForward& call)
      : call_(call),
        sizes_(call.sizes),
        pieces_(static_cast<T*>(call.scratch)),
        s_(pieces_, call.sizes, call.columns),
        saved_row_(delta_rule_padded(call.sizes.d_v)) {}

  void run() {
    int64_t chunk = 0;
    State state = place_of(0);
    load_initial(state);
    for (int64_t step = call_.first; step < call_.last; step += sizes_.chunk) {
      const Span span(step, call_.last, sizes_.chunk);
      load_chunk(span);
      look_ahead(span);
      multiply_keys(s_.q, s_.k, span, sizes_.d_k, s_);
      ahead_.advance();
      decay_products<T>(span, static_cast<T>(sizes_.scale), nullptr, s_);
      ahead_.advance();
      solve_errors(s_.k, state.data, state.row, span, sizes_.d_k, s_);
      ahead_.advance();
      read(state, span);
      ahead_.advance();
      const bool is_last = step + sizes_.chunk >= call_.last;
      // The final state is not saved: it leaves through the scratch memory.
      const State next = is_last ? State{s_.state, s_.dv} : place_of(++chunk);
      write(state, next, span);
      state = next;
    }
    store_final(state);
  }

 private:
  struct State {
    T* data;  // [d_k, dv]
    int64_t row;
  };

  // Where the state that enters a chunk lies.
  State place_of(int64_t chunk) const {
    if (!call_.states) return {s_.state, s_.dv};
    const int64_t slot = chunk * sizes_.value_heads + call_.head;
    return {static_cast<T*>(call_.states) + slot * sizes_.d_k * saved_row_ + call_.column,
            saved_row_};
  }

  int64_t state_offset() const {
    return (call_.sequence * sizes_.value_heads + call_.head) * sizes_.d_k * sizes_.d_v +
           call_.column;
  }

  void load_initial(const State& state) const {
    const T* from = static_cast<const T*>(call_.initial_state);
    for (int64_t i = 0; i < sizes_.d_k; ++i) {
      T* row = state.data + i * state.row;
      if (from) {
        load_row(from + state_offset() + i * sizes_.d_v, call_.columns, row, s_.dv);
      } else {
        clear(row, s_.dv);
      }
    }
  }

  void store_final(const State& state) const {
    T* to = static_cast<T*>(call_.final_state) + state_offset();
    for (int64_t i = 0; i < sizes_.d_k; ++i) {
      store_row(state.data + i * state.row, call_.columns, to + i * sizes_.d_v);
    }
  }

  void load_chunk(const Span& span) {
    const int64_t key_head = call_.head / (sizes_.value_heads / sizes_.heads);
    load_gates(call_, call_.head, span, s_);
    load_rows<T, E>(call_.q, key_head, 0, sizes_.d_k, span, s_.q, s_.dk);
    load_rows<T, E>(call_.k, key_head, 0, sizes_.d_k, span, s_.k, s_.dk);
    load_rows<T, E>(call_.v, call_.head, call_.column, call_.columns, span, s_.errors, s_.dv);
  }

  void look_ahead(const Span& span) {
    const Span next(span.first + span.steps, call_.last, sizes_.chunk);
    const int64_t key_head = call_.head / (sizes_.value_heads / sizes_.heads);
    ahead_.clear();
    if (next.steps <= 0) return;
    ahead_.add<E>(call_.q, key_head, 0, sizes_.d_k, next);
    ahead_.add<E>(call_.k, key_head, 0, sizes_.d_k, next);
    ahead_.add<E>(call_.v, call_.head, call_.column, call_.columns, next);
    ahead_.add<E>({call_.output, sizes_.value_heads * sizes_.d_v, sizes_.d_v}, call_.head,
                  call_.column, call_.columns, next, true);
  }

  // O = scale diag(e) Q S + P V'.
  void read(const State& state, const Span& span) {
    for (int64_t i = 0; i < span.rows; ++i) {
      s_.factor[i] = static_cast<T>(sizes_.scale) * s_.decayed[i];
    }
    const Output<T> out{s_.output, s_.dv, T(1), s_.factor};
    gemm<T>(span.rows, s_.dv, sizes_.d_k, {s_.q, s_.dk, 1}, {state.data, state.row}, out);
    gemm<T>(span.rows, s_.dv, span.rows, {s_.p, s_.c, 1}, {s_.errors, s_.dv},
            Output<T>{s_.output, s_.dv}.added(), Shape::lower);
    const int64_t stride = sizes_.value_heads * sizes_.d_v;
    E* to = static_cast<E*>(call_.output) + span.first * stride + call_.head * sizes_.d_v +
            call_.column;
    for (int64_t i = 0; i < span.steps; ++i) {
      store_row(s_.output + i * s_.dv, call_.columns, to + i * stride);
    }
  }

  // next = exp(G_C) S + (diag(rho) K)^T V'. V' is not needed after it and takes the factor.
  void write(const State& state, const State& next, const Span& span) {
    for (int64_t i = 0; i < span.steps; ++i) scale_row(s_.errors + i * s_.dv, s_.dv, s_.left[i]);
    Output<T> out{next.data, next.row};
    const Left<T> keys = Left<T>{s_.k, s_.dk, 1}.transposed();
    const T decay = s_.decayed[span.rows - 1];
    if (next.row == state.row) {
      out.base = state.data;
      out.keep = decay;
    } else {  // from a saved state to the last one
      for (int64_t i = 0; i < sizes_.d_k; ++i) {
        load_row(state.data + i * state.row, s_.dv, next.data + i * next.row, s_.dv);
      }
      out = out.added();
      out.keep = decay;
    }
    gemm<T>(sizes_.d_k, s_.dv, span.steps, keys, {s_.errors, s_.dv}, out);
  }

  const DeltaRuleForward& call_;
  const DeltaRuleSizes& sizes_;
  Pieces<T> pieces_;
  ForwardScratch<T> s_;
  Ahead ahead_;
  int64_t saved_row_;
};

}  // namespace

void delta_rule_forward(const DeltaRuleForward& call) {
  switch (call.sizes.element) {
    case Element::float32:
      return Forward<float, float>(call).run();
    case Element::bfloat16:
      return Forward<float, BFloat16>(call).run();
    case Element::float64:
      return Forward<double, double>(call).run();
  }
}

}  // namespace gamut::ops::GAMUT_ISA
