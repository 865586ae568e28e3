// The forward pass of gamut::ssd by chunks, and step by step.
#include "ops/ssd/chunk.h"
#include "ops/ssd/kernel.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

template <class S>
class Forward {
 public:
  explicit Forward(const Arguments& arguments)
      : a_(arguments),
        pp_(GAMUT_SSD_PADDED(a_.head_dim)),
        scratch_(a_.scratch),
        group_(a_, scratch_),
        x_(scratch_.take(a_.chunk, a_.head_dim)),
        y_(scratch_.take(a_.chunk, a_.head_dim)),
        mixing_(scratch_.take(a_.chunk, a_.chunk)),
        states_(scratch_.take(a_.n_heads * a_.d_state, a_.head_dim)) {}

  void run() {
    for (int64_t i = 0; i < a_.n_heads; ++i) load_state(i);
    Span at{a_.begin, 0, a_.first_chunk};
    for (; at.begin < a_.end; at.begin += at.length, ++at.index) {
      at.length = a_.end - at.begin < a_.chunk ? a_.end - at.begin : a_.chunk;
      group_.enter(a_, at);
      for (int64_t i = 0; i < a_.n_heads; ++i) run_head(at, i);
    }
    for (int64_t i = 0; i < a_.n_heads; ++i) save_state(i);
  }

 private:
  // [N, P]: the transpose of what callers see.
  S* state(int64_t i) const { return states_ + i * a_.d_state * pp_; }
  int64_t place(int64_t i) const {
    return (a_.document * a_.heads + a_.first_head + i) * a_.head_dim * a_.d_state;
  }

  void load_state(int64_t i) {
    S* const to = state(i);
    for (int64_t k = 0; k < a_.d_state * pp_; ++k) to[k] = 0;
    if (!a_.initial_state) return;
    transpose(to, pp_, static_cast<const S*>(a_.initial_state) + place(i), a_.d_state, a_.head_dim,
              a_.d_state);
  }

  void save_state(int64_t i) const {
    transpose(static_cast<S*>(a_.final_state) + place(i), a_.d_state, state(i), pp_, a_.d_state,
              a_.head_dim);
  }

  void keep_entering_state(const Span& at, int64_t i) const {
    const int64_t size = a_.d_state * pp_;
    S* const to =
        static_cast<S*>(a_.chunk_states) + (at.index * a_.heads + a_.first_head + i) * size;
    for (int64_t k = 0; k < size; k += kLanes<S>) store(to + k, load(state(i) + k));
  }

  void run_head(const Span& at, int64_t i) {
    const int64_t head = a_.first_head + i, q = at.length;
    decays_.enter(a_, at, head);
    read_rows(x_, pp_, a_.x, at.begin, q, head * a_.head_dim, a_.head_dim);
    if (a_.chunk_states) keep_entering_state(at, i);
    mix(q);
    gemm<S>(q, pp_, q, {mixing_, group_.pq, 1}, {x_, pp_}, {y_, pp_}, Shape::lower);
    gemm<S>(q, pp_, a_.d_state, {group_.c, group_.pn, 1}, {state(i), pp_},
            Output<S>{y_, pp_, 1, decays_.from_start}.added());
    write_outputs(at, head);
    update_state(q, state(i));
  }

  // (C B^T) .* L diag(dt)
  void mix(int64_t q) {
    const int64_t pq = group_.pq;
    for (int64_t i = 0; i < q; ++i) {
      const S* const scores = group_.scores + i * pq;
      S* const row = mixing_ + i * pq;
      decay_row(decays_, i, [&](int64_t j, Vec<S> decay) {
        store(row + j, load(scores + j) * decay * load(decays_.dt + j));
      });
    }
  }

  void write_outputs(const Span& at, int64_t head) {
    const S d = a_.d ? static_cast<const S*>(a_.d)[head] : S(0);
    for (int64_t t = 0; t < at.length; ++t) {
      S* const y = y_ + t * pp_;
      const S* const x = x_ + t * pp_;
      if (a_.d) {
        for (int64_t p = 0; p < pp_; p += kLanes<S>) store(y + p, load(y + p) + load(x + p) * d);
      }
      write_head(a_, a_.y, at.begin + t, head, y);
    }
  }

  // h <- exp(a_Q) h + B^T diag(dt exp(a_Q - a)) X; x_ is not needed after it.
  void update_state(int64_t q, S* h) {
    for (int64_t t = 0; t < q; ++t) {
      scale_row(x_ + t * pp_, x_ + t * pp_, decays_.dt[t] * decays_.to_end[t], pp_);
    }
    gemm<S>(a_.d_state, pp_, q, {group_.b, 1, group_.pn}, {x_, pp_},
            {h, pp_, 1, nullptr, h, decays_.whole});
  }

  const Arguments& a_;
  const int64_t pp_;
  Scratch<S> scratch_;
  Group<S> group_;
  S *x_, *y_, *mixing_, *states_;
  Decays<S> decays_;
};

// One head's recurrence, in its final_state.
template <class S>
void run_steps(const Arguments& a, int64_t head, S* scratch) {
  const int64_t n = a.d_state, p = a.head_dim, pn = GAMUT_SSD_PADDED(n);
  S *const b = scratch, *const c = b + pn, *const x = c + pn, *const y = x + GAMUT_SSD_PADDED(p);
  const int64_t size = p * n, place = (a.document * a.heads + head) * size;
  S* const h = static_cast<S*>(a.final_state) + place;
  const S* from = a.initial_state ? static_cast<const S*>(a.initial_state) + place : nullptr;
  const S d = a.d ? static_cast<const S*>(a.d)[head] : S(0);
  const int64_t group = head / (a.heads / a.groups);
  for (int64_t t = a.begin; t < a.end; ++t) {
    read_rows(b, pn, a.b, t, 1, group * n, n);
    read_rows(c, pn, a.c, t, 1, group * n, n);
    read_rows(x, p, a.x, t, 1, head * p, p);
    const S decay = exp(static_cast<const S*>(a.g)[t * a.heads + head]);
    const S dt = static_cast<const S*>(a.dt)[t * a.heads + head];
    for (int64_t i = 0; i < p; ++i) {
      const S added = dt * x[i];
      Vec<S> total{};
      int64_t j = 0;
      for (; j + kLanes<S> <= n; j += kLanes<S>) {
        const Vec<S> old = from ? load(from + i * n + j) : Vec<S>{};
        const Vec<S> next = old * decay + load(b + j) * added;
        store(h + i * n + j, next);
        total += next * load(c + j);
      }
      S rest = 0;
      for (; j < n; ++j) {
        h[i * n + j] = (from ? from[i * n + j] : S(0)) * decay + b[j] * added;
        rest += h[i * n + j] * c[j];
      }
      y[i] = sum(total) + rest + d * x[i];
    }
    write_head(a, a.y, t, head, y);
    from = h;
  }
}

template <class S>
void run_steps(const Arguments& a) {
  for (int64_t i = 0; i < a.n_heads; ++i) {
    run_steps(a, a.first_head + i, static_cast<S*>(a.scratch));
  }
}

}  // namespace

void ssd_forward(const Arguments& a) {
  if (a.is_double) return Forward<double>(a).run();
  Forward<float>(a).run();
}

void ssd_steps(const Arguments& a) {
  a.is_double ? run_steps<double>(a) : run_steps<float>(a);
}

}  // namespace gamut::ops::GAMUT_ISA
