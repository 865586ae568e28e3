// Attention backward: a strip of queries, block after block of its keys, the scores computed again.
//
//   P = softmax, dV = P^T dY, dP = dY V^T, dS = P (dP - sum_c dY Y), dQ = scale dS K, dK = scale
//   dS^T Q
#include "ops/attention/strip.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

template <class T>
class Backward {
  using W = WordOf<T>;
  using S = SumOfProduct<T>;
  using V = Vec<S>;
  static constexpr int64_t kWidth = kLanes<S>;
  static constexpr int64_t kElements = Operand<T>::kElements;

 public:
  explicit Backward(const AttentionBackward& arguments)
      : a_(arguments),
        h_(a_.head),
        d_(h_.head_dim),
        padded_(attention_padded(d_)),
        scale_(static_cast<S>(h_.scale)),
        dk_(static_cast<S*>(a_.dk)),
        dv_(static_cast<S*>(a_.dv)) {
    Scratch scratch{static_cast<char*>(a_.scratch)};
    queries_ = scratch.take<W>(d_ * kRow);
    gradient_ = scratch.take<W>(d_ * kRow);
    query_rows_ = scratch.take<W>(kRow * padded_);
    gradient_rows_ = scratch.take<W>(kRow * padded_);
    dq_ = scratch.take<S>(d_ * kRow);
    scores_ = scratch.take<S>(kAttentionKeys * kRow);
    d_scores_ = scratch.take<S>(kAttentionKeys * kRow);
    if constexpr (kElements == 1) {
      weights_ = scores_;
      weight_gradients_ = turned_gradients_ = d_scores_;
    } else {
      weights_ = scratch.take<T>(kAttentionKeys * kRow);
      weight_gradients_ = scratch.take<T>(kAttentionKeys * kRow);
      turned_gradients_ = scratch.take<W>(kAttentionKeys / kElements * kRow);
    }
    log_sums_ = scratch.take<S>(kRow);
    agreement_ = scratch.take<S>(kRow);
  }

  void run() {
    for (int64_t i = 0; i < h_.keys * padded_; ++i) dk_[i] = dv_[i] = 0;
    constexpr int64_t kQueries = Strip<T>::kQueries;
    for (int64_t i = 0; i < h_.queries; i += kQueries) {
      run_strip({h_, i, i + kQueries < h_.queries ? i + kQueries : h_.queries});
    }
  }

 private:
  void run_strip(const Strip<T>& strip) {
    turn_rows<T>(h_.q, strip.begin, strip.end, d_, queries_);
    turn_rows<T>(a_.dy, strip.begin, strip.end, d_, gradient_);
    pack_words<T>(h_.q, strip.begin, strip.end, d_, padded_, query_rows_);
    pack_words<T>(a_.dy, strip.begin, strip.end, d_, padded_, gradient_rows_);
    for (int64_t i = 0; i < kRow; ++i) {
      const bool is_query = strip.begin + i < strip.end;
      log_sums_[i] = is_query ? *row_of<S>(a_.log_sums, strip.begin + i) : 0;
      agreement_[i] = is_query ? agreement(strip.begin + i) : 0;
    }
    for (int64_t i = 0; i < d_ * kRow; ++i) dq_[i] = 0;
    for (int64_t key = strip.first_key; key < strip.last_key; key += kAttentionKeys) {
      const int64_t left = strip.last_key - key;
      run_block(strip, key, left < kAttentionKeys ? left : kAttentionKeys);
    }
    write_turned(dq_, strip.end - strip.begin, d_,
                 static_cast<T*>(a_.dq.data) + strip.begin * a_.dq.step, a_.dq.step);
  }

  // <dy, y> of a query.
  S agreement(int64_t i) const {
    const T *dy = row_of<T>(a_.dy, i), *y = row_of<T>(a_.y, i);
    V total = {};
    int64_t c = 0;
    for (; c + kWidth <= d_; c += kWidth) total += load(dy + c) * load(y + c);
    const int left = static_cast<int>(d_ - c);
    if (left > 0) total += load_first(dy + c, left) * load_first(y + c, left);
    return sum(total);
  }

  void run_block(const Strip<T>& strip, int64_t key, int64_t keys) {
    const S to_base_2 = scale_ * static_cast<S>(1.4426950408889634);
    score(strip, keys, h_.k, key, queries_, to_base_2, scores_);
    score(strip, keys, h_.v, key, gradient_, 1, d_scores_);
    strip.hide(key, keys, scores_);
    for (int64_t v = 0; v < strip.vectors; ++v) {
      for (int64_t j = 0; j < keys; j += kElements) differentiate(j, v * kWidth, keys);
    }
    add_to_keys(strip, key, keys, weights_, gradient_rows_, 1, dv_);
    add_to_keys(strip, key, keys, weight_gradients_, query_rows_, scale_, dk_);
    multiply<T>({d_,
                 strip.vectors,
                 (keys + kElements - 1) / kElements,
                 turned_keys(key),
                 {turned_gradients_, kRow},
                 dq_,
                 kRow,
                 scale_,
                 true});
  }

  // out = alpha rows^T against the strip's columns `with`.
  void score(const Strip<T>& strip, int64_t keys, const AttentionRows& rows, int64_t key,
             const W* with, S alpha, S* out) {
    multiply<T>({keys,
                 strip.vectors,
                 d_ / kElements,
                 {words_of<T>(rows, key), word_step<T>(rows), 1},
                 {with, kRow},
                 out,
                 kRow,
                 alpha,
                 false});
  }

  // out[key ...] += alpha weights rows: the sum over the strip's queries.
  void add_to_keys(const Strip<T>& strip, int64_t key, int64_t keys, const T* weights,
                   const W* rows, S alpha, S* out) {
    multiply<T>({keys,
                 padded_ / kWidth,
                 (strip.end - strip.begin + kElements - 1) / kElements,
                 {reinterpret_cast<const W*>(weights), kRow / kElements, 1},
                 {rows, padded_},
                 out + key * padded_,
                 padded_,
                 alpha,
                 true});
  }

  // k^T from `key` on.
  Left<W> turned_keys(int64_t key) const {
    if constexpr (kElements == 1) {
      return {row_of<T>(h_.k, key), 1, h_.k.step};
    } else {
      return {static_cast<const W*>(h_.pairs) + key / kElements * d_, 1, d_};
    }
  }

  // The weights of a word's keys and the gradients of their scores, for the queries of one
  // register.
  void differentiate(int64_t j, int64_t lane, int64_t keys) {
    const V first = differentiate_key(j, lane);
    if constexpr (kElements == 2) {
      const V second = j + 1 < keys ? differentiate_key(j + 1, lane) : V{};
      const Vec<W> words = pair(first, second);
      __builtin_memcpy(turned_gradients_ + j / 2 * kRow + lane, &words, sizeof words);
    }
  }
  V differentiate_key(int64_t j, int64_t lane) {
    const int64_t at = j * kRow + lane;
    const V p = exp2(load(scores_ + at) - load(log_sums_ + lane));
    const V ds = p * (load(d_scores_ + at) - load(agreement_ + lane));
    store(weights_ + at, p);
    store(weight_gradients_ + at, ds);
    return ds;
  }

  const AttentionBackward& a_;
  const AttentionHead& h_;
  int64_t d_, padded_;
  S scale_;
  S *dk_, *dv_;                     // [all keys, padded]
  W *queries_, *gradient_;          // [d words, queries]: q and dy, transposed
  W *query_rows_, *gradient_rows_;  // [queries words, padded]: the same
  S *dq_, *scores_, *d_scores_;     // [d, queries]; [keys, queries]: S and dP
  T *weights_, *weight_gradients_;  // [keys, queries]: P and dS
  W* turned_gradients_;             // [keys words, queries]: dS
  S *log_sums_, *agreement_;        // [queries]: of the scores; <dy, y>
};

template <class T>
void add_parts(const AttentionSum& a) {
  using S = SumOfProduct<T>;
  constexpr int64_t kWidth = kLanes<S>;
  const int64_t padded = attention_padded(a.head_dim);
  for (int64_t i = 0; i < a.steps; ++i) {
    const S* const from = static_cast<const S*>(a.from) + i * padded;
    T* const to = static_cast<T*>(a.to.data) + i * a.to.step;
    for (int64_t c = 0; c < a.head_dim; c += kWidth) {
      Vec<S> total = load(from + c);
      for (int64_t p = 1; p < a.parts; ++p) total += load(from + p * a.part_size + c);
      const int left = static_cast<int>(a.head_dim - c);
      if (left >= kWidth) {
        store(to + c, total);
      } else {
        store_first(to + c, total, left);
      }
    }
  }
}

}  // namespace

void attention_backward(const AttentionBackward& a) {
  switch (a.head.element) {
    case Element::float32:
      return Backward<float>(a).run();
    case Element::bfloat16:
      return Backward<BFloat16>(a).run();
    case Element::float64:
      return Backward<double>(a).run();
  }
}

void attention_sum(const AttentionSum& a) {
  switch (a.element) {
    case Element::float32:
      return add_parts<float>(a);
    case Element::bfloat16:
      return add_parts<BFloat16>(a);
    case Element::float64:
      return add_parts<double>(a);
  }
}

}  // namespace gamut::ops::GAMUT_ISA
