// The backward pass of gamut::ssd: chunk by chunk from the end, with the gradient dh of the state
// carried. Of the forward pass it has the state entering each chunk; the rest is computed again.
//
// With K = (C B^T) .* L and everything of one head and chunk:
//   V      = K^T dY + diag(exp(a_Q - a)) B dh            dX = diag(dt) V + D dY
//   W      = (dY X^T) .* L diag(dt)                      dC = W B + diag(exp a) dY h
//   dB     = W^T C + diag(dt exp(a_Q - a)) X dh^T        dh <- exp(a_Q) dh + (diag(exp a) dY)^T C
//   ddt    = rowsum(V .* X)
//   dg_t   = sum of U_ij over i >= t > j, with U = W .* C B^T      (j's input read at i)
//          + sum of (C .* diag(exp a) dY h)_i over i >= t          (the state read at i)
//          + sum of dt (X .* diag(exp(a_Q - a)) B dh)_j over j < t (j's input kept in the state)
//          + exp(a_Q) <dh, h>                                      (the state kept)
// dg is never a difference of sums, in which what does not decay would drown what does.
// W is summed over the heads of the unit before its products with B and C.
#include "ops/ssd/chunk.h"
#include "ops/ssd/kernel.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

template <class S>
class Backward {
 public:
  explicit Backward(const Arguments& arguments)
      : a_(arguments),
        pp_(GAMUT_SSD_PADDED(a_.head_dim)),
        scratch_(a_.scratch),
        group_(a_, scratch_),
        x_(scratch_.take(a_.chunk, a_.head_dim)),
        dy_(scratch_.take(a_.chunk, a_.head_dim)),
        v_(scratch_.take(a_.chunk, a_.head_dim)),
        x_t_(scratch_.take(a_.head_dim, a_.chunk)),
        mixing_(scratch_.take(a_.chunk, a_.chunk)),
        decay_(scratch_.take(a_.chunk, a_.chunk)),
        d_mixing_(scratch_.take(a_.chunk, a_.chunk)),
        d_scores_(scratch_.take(a_.chunk, a_.chunk)),
        db_(scratch_.take(a_.chunk, a_.d_state)),
        dc_(scratch_.take(a_.chunk, a_.d_state)),
        dc_head_(scratch_.take(a_.chunk, a_.d_state)),
        h_t_(scratch_.take(a_.head_dim, a_.d_state)),
        dh_(scratch_.take(a_.n_heads * a_.d_state, a_.head_dim)) {}

  void run() {
    const int64_t chunks = (a_.end - a_.begin + a_.chunk - 1) / a_.chunk;
    for (int64_t i = 0; i < a_.n_heads; ++i) load_state_gradient(i);
    for (int64_t k = chunks - 1; k >= 0; --k) {
      const int64_t begin = a_.begin + k * a_.chunk;
      const Span at{begin, a_.end - begin < a_.chunk ? a_.end - begin : a_.chunk,
                    a_.first_chunk + k};
      group_.enter(a_, at);
      clear(d_scores_, at.length * group_.pq);
      clear(db_, at.length * group_.pn);
      clear(dc_, at.length * group_.pn);
      for (int64_t i = 0; i < a_.n_heads; ++i) run_head(at, i);
      write_group(at);
    }
    for (int64_t i = 0; i < a_.n_heads; ++i) save_state_gradient(i);
  }

 private:
  static void clear(S* p, int64_t n) {
    for (int64_t i = 0; i < n; i += kLanes<S>) store(p + i, Vec<S>{});
  }

  S* state_gradient(int64_t i) const { return dh_ + i * a_.d_state * pp_; }
  const S* entering_state(const Span& at, int64_t head) const {
    return static_cast<const S*>(a_.chunk_states) + (at.index * a_.heads + head) * a_.d_state * pp_;
  }
  int64_t place(int64_t i) const {
    return (a_.document * a_.heads + a_.first_head + i) * a_.head_dim * a_.d_state;
  }

  void load_state_gradient(int64_t i) {
    clear(state_gradient(i), a_.d_state * pp_);
    d_d_[i] = 0;
    if (!a_.d_final_state) return;
    transpose(state_gradient(i), pp_, static_cast<const S*>(a_.d_final_state) + place(i),
              a_.d_state, a_.head_dim, a_.d_state);
  }

  void save_state_gradient(int64_t i) const {
    static_cast<S*>(a_.d_d)[a_.document * a_.heads + a_.first_head + i] = d_d_[i];
    if (!a_.d_initial_state) return;
    transpose(static_cast<S*>(a_.d_initial_state) + place(i), a_.d_state, state_gradient(i), pp_,
              a_.d_state, a_.head_dim);
  }

  void run_head(const Span& at, int64_t i) {
    const int64_t head = a_.first_head + i, q = at.length;
    decays_.enter(a_, at, head);
    read_rows(x_, pp_, a_.x, at.begin, q, head * a_.head_dim, a_.head_dim);
    read_rows(dy_, pp_, a_.dy, at.begin, q, head * a_.head_dim, a_.head_dim);
    mix(q);
    differentiate_scores(q);
    differentiate_inputs(at, i);
    differentiate_groups(q, i, entering_state(at, head));
    differentiate_state(q, state_gradient(i), entering_state(at, head));
    write_decays(at, head);
  }

  // L, and K = (C B^T) .* L.
  void mix(int64_t q) {
    const int64_t pq = group_.pq;
    for (int64_t i = 0; i < q; ++i) {
      decay_row(decays_, i, [&](int64_t j, Vec<S> decay) {
        store(decay_ + i * pq + j, decay);
        store(mixing_ + i * pq + j, decay * load(group_.scores + i * pq + j));
      });
    }
  }

  // Adds W to d_scores_. reads_[t] becomes the sum of U_ij over i >= t > j: `columns` has the sums
  // of the columns of U from row t down.
  void differentiate_scores(int64_t q) {
    const int64_t pq = group_.pq;
    transpose(x_t_, pq, x_, pp_, q, a_.head_dim);
    gemm_lower<S>(q, a_.head_dim, {dy_, pp_, 1}, {x_t_, pq}, {d_mixing_, pq});
    alignas(kVectorBytes) S columns[kSsdMaxChunk + kSsdPad];
    clear(columns, pq);
    const Vec<S> numbers = lane_numbers<S>();
    for (int64_t t = q - 1; t >= 0; --t) {
      const int64_t row = t * pq;
      Vec<S> before{};
      for (int64_t j = 0; j <= t; j += kLanes<S>) {
        const Vec<S> w = load(d_mixing_ + row + j) * load(decays_.dt + j);
        store(d_scores_ + row + j, load(d_scores_ + row + j) + w * load(decay_ + row + j));
        const Vec<S> column = load(columns + j) + w * load(mixing_ + row + j);
        store(columns + j, column);
        before += numbers < static_cast<S>(t - j) ? column : Vec<S>{};
      }
      reads_[t] = sum(before);
    }
  }

  // dX, ddt, dD, and what each input gives the state, in kept_.
  void differentiate_inputs(const Span& at, int64_t i) {
    const int64_t q = at.length, head = a_.first_head + i;
    gemm<S>(q, pp_, a_.d_state, {group_.b, group_.pn, 1}, {state_gradient(i), pp_},
            {v_, pp_, 1, decays_.to_end});
    for (int64_t t = 0; t < q; ++t) {
      kept_[t] = decays_.dt[t] * dot(x_ + t * pp_, v_ + t * pp_, pp_);
    }
    gemm<S>(q, pp_, q, Left<S>{mixing_, group_.pq, 1}.transposed(), {dy_, pp_},
            Output<S>{v_, pp_}.added(), Shape::upper);
    const S d = a_.d ? static_cast<const S*>(a_.d)[head] : S(0);
    for (int64_t t = 0; t < q; ++t) {
      S* const v = v_ + t * pp_;
      const S *const x = x_ + t * pp_, *const dy = dy_ + t * pp_;
      static_cast<S*>(a_.ddt)[(at.begin + t) * a_.heads + head] = dot(x, v, pp_);
      if (a_.d) d_d_[i] += dot(x, dy, pp_);
      for (int64_t p = 0; p < pp_; p += kLanes<S>) {
        store(v + p, load(v + p) * decays_.dt[t] + load(dy + p) * d);
      }
      write_head(a_, a_.dx, at.begin + t, head, v);
    }
  }

  // This head's parts of dB and dC that go by the state.
  void differentiate_groups(int64_t q, int64_t i, const S* h) {
    const int64_t pn = group_.pn;
    transpose(h_t_, pn, h, pp_, a_.d_state, a_.head_dim);
    gemm<S>(q, pn, a_.head_dim, {dy_, pp_, 1}, {h_t_, pn}, {dc_head_, pn, 1, decays_.from_start});
    for (int64_t t = 0; t < q; ++t) {
      S *const part = dc_head_ + t * pn, *const all = dc_ + t * pn;
      const S* const c = group_.c + t * pn;
      Vec<S> total{};
      for (int64_t n = 0; n < pn; n += kLanes<S>) {
        total += load(c + n) * load(part + n);
        store(all + n, load(all + n) + load(part + n));
      }
      reads_state_[t] = sum(total);
    }
    transpose(h_t_, pn, state_gradient(i), pp_, a_.d_state, a_.head_dim);
    S factors[kSsdMaxChunk];
    for (int64_t t = 0; t < q; ++t) factors[t] = decays_.dt[t] * decays_.to_end[t];
    gemm<S>(q, pn, a_.head_dim, {x_, pp_, 1}, {h_t_, pn}, Output<S>{db_, pn, 1, factors}.added());
  }

  // dh moves to the chunk's start; dy_ is not needed after it.
  void differentiate_state(int64_t q, S* dh, const S* h) {
    keeps_state_ = decays_.whole * dot(dh, h, a_.d_state * pp_);
    for (int64_t t = 0; t < q; ++t) {
      scale_row(dy_ + t * pp_, dy_ + t * pp_, decays_.from_start[t], pp_);
    }
    gemm<S>(a_.d_state, pp_, q, {group_.c, 1, group_.pn}, {dy_, pp_},
            {dh, pp_, 1, nullptr, dh, decays_.whole});
  }

  void write_decays(const Span& at, int64_t head) {
    double later = 0, earlier = static_cast<double>(keeps_state_);
    for (int64_t t = at.length - 1; t >= 0; --t) {
      later += static_cast<double>(reads_state_[t]);
      reads_[t] += static_cast<S>(later);
    }
    for (int64_t t = 0; t < at.length; ++t) {
      static_cast<S*>(a_.dg)[(at.begin + t) * a_.heads + head] =
          reads_[t] + static_cast<S>(earlier);
      earlier += static_cast<double>(kept_[t]);
    }
  }

  // dB and dC of the unit's heads.
  void write_group(const Span& at) {
    const int64_t q = at.length, pn = group_.pn, pq = group_.pq, n = a_.d_state;
    const Left<S> w{d_scores_, pq, 1};
    gemm<S>(q, pn, q, w, {group_.b, pn}, Output<S>{dc_, pn}.added(), Shape::lower);
    gemm<S>(q, pn, q, w.transposed(), {group_.c, pn}, Output<S>{db_, pn}.added(), Shape::upper);
    const int64_t group = a_.first_head / (a_.heads / a_.groups);
    for (int64_t t = 0; t < q; ++t) {
      const int64_t to = ((at.begin + t) * a_.groups + group) * n;
      write_row(static_cast<S*>(a_.d_b) + to, db_ + t * pn, n);
      write_row(static_cast<S*>(a_.d_c) + to, dc_ + t * pn, n);
    }
  }

  const Arguments& a_;
  const int64_t pp_;
  Scratch<S> scratch_;
  Group<S> group_;
  S *x_, *dy_, *v_, *x_t_, *mixing_, *decay_, *d_mixing_, *d_scores_;
  S *db_, *dc_, *dc_head_, *h_t_, *dh_;
  Decays<S> decays_;
  // Parts of dg, of each step.
  S reads_[kSsdMaxChunk], reads_state_[kSsdMaxChunk], kept_[kSsdMaxChunk], keeps_state_;
  S d_d_[kSsdHeads];
};

}  // namespace

void ssd_backward(const Arguments& a) {
  if (a.is_double) return Backward<double>(a).run();
  Backward<float>(a).run();
}

}  // namespace gamut::ops::GAMUT_ISA
