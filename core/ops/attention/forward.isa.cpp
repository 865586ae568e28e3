// Attention forward: a strip of queries, block after block of its keys.
#include "ops/attention/strip.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

template <class T>
class Forward {
  using W = WordOf<T>;
  using S = SumOfProduct<T>;
  using V = Vec<S>;
  static constexpr int64_t kWidth = kLanes<S>;
  static constexpr int64_t kElements = Operand<T>::kElements;

 public:
  explicit Forward(const AttentionForward& arguments)
      : a_(arguments), h_(a_.head), scale_(static_cast<S>(h_.scale * 1.4426950408889634)) {
    Scratch scratch{static_cast<char*>(a_.scratch)};
    queries_ = scratch.take<W>(h_.head_dim * kRow);
    scores_ = scratch.take<S>(kAttentionKeys * kRow);
    weights_ = kElements == 1 ? reinterpret_cast<W*>(scores_)
                              : scratch.take<W>(kAttentionKeys / kElements * kRow);
    sums_ = scratch.take<S>(h_.head_dim * kRow);
    largest_ = scratch.take<S>(kRow);
    total_ = scratch.take<S>(kRow);
  }

  void run() {
    constexpr int64_t kQueries = Strip<T>::kQueries;
    for (int64_t i = a_.begin; i < a_.end; i += kQueries) {
      run_strip({h_, i, i + kQueries < a_.end ? i + kQueries : a_.end});
    }
  }

 private:
  void run_strip(const Strip<T>& strip) {
    turn_rows<T>(h_.q, strip.begin, strip.end, h_.head_dim, queries_);
    for (int64_t i = 0; i < kRow; ++i) largest_[i] = kNoMaximum<S>, total_[i] = 0;
    for (int64_t i = 0; i < h_.head_dim * kRow; ++i) sums_[i] = 0;
    for (int64_t key = strip.first_key; key < strip.last_key; key += kAttentionKeys) {
      const int64_t left = strip.last_key - key;
      run_block(strip, key, left < kAttentionKeys ? left : kAttentionKeys);
    }
    finish(strip);
  }

  void run_block(const Strip<T>& strip, int64_t key, int64_t keys) {
    multiply<T>({keys,
                 strip.vectors,
                 h_.head_dim / kElements,
                 {words_of<T>(h_.k, key), word_step<T>(h_.k), 1},
                 {queries_, kRow},
                 scores_,
                 kRow,
                 scale_,
                 false});
    strip.hide(key, keys, scores_);
    for (int64_t v = 0; v < strip.vectors; ++v) weigh(v * kWidth, keys);
    multiply<T>({h_.head_dim,
                 strip.vectors,
                 (keys + kElements - 1) / kElements,
                 values(key),
                 {weights_, kRow},
                 sums_,
                 kRow,
                 1,
                 true});
  }

  // v^T from `key` on.
  Left<W> values(int64_t key) const {
    if constexpr (kElements == 1) {
      return {row_of<T>(h_.v, key), 1, h_.v.step};
    } else {
      return {static_cast<const W*>(h_.pairs) + key / kElements * h_.head_dim, 1, h_.head_dim};
    }
  }

  // The weights of a block for the queries of one register, and what a new maximum does to the
  // sums.
  void weigh(int64_t lane, int64_t keys) {
    const V before = load(largest_ + lane);
    V largest = before;
    for (int64_t j = 0; j < keys; ++j) {
      const V x = load(scores_ + j * kRow + lane);
      largest = x > largest ? x : largest;
    }
    const V shrink = exp2(before - largest);
    V total = load(total_ + lane) * shrink;
    if (sum(shrink) != static_cast<S>(kWidth)) {
      for (int64_t c = 0; c < h_.head_dim; ++c) {
        S* const at = sums_ + c * kRow + lane;
        store(at, load(at) * shrink);
      }
    }
    for (int64_t j = 0; j < keys; j += kElements) total += write_weights(j, lane, keys, largest);
    store(largest_ + lane, largest);
    store(total_ + lane, total);
  }

  // Of a word's keys; their sum.
  V write_weights(int64_t j, int64_t lane, int64_t keys, V largest) {
    const V first = exp2(load(scores_ + j * kRow + lane) - largest);
    if constexpr (kElements == 1) {
      store(weights_ + j * kRow + lane, first);
      return first;
    } else {
      const V second = j + 1 < keys ? exp2(load(scores_ + (j + 1) * kRow + lane) - largest) : V{};
      const Vec<W> words = pair(first, second);
      __builtin_memcpy(weights_ + j / 2 * kRow + lane, &words, sizeof words);
      return first + second;
    }
  }

  void finish(const Strip<T>& strip) {
    for (int64_t v = 0; v < strip.vectors; ++v) {
      const V total = load(total_ + v * kWidth);
      const V factor = total == 0 ? V{} : 1 / total;
      for (int64_t c = 0; c < h_.head_dim; ++c) {
        S* const at = sums_ + c * kRow + v * kWidth;
        store(at, load(at) * factor);
      }
    }
    write_turned(sums_, strip.end - strip.begin, h_.head_dim,
                 static_cast<T*>(a_.y.data) + strip.begin * a_.y.step, a_.y.step);
    auto* const log_sums = static_cast<S*>(a_.log_sums);
    for (int64_t i = strip.begin; i < strip.end; ++i) {
      const S total = total_[i - strip.begin];
      const double log2 = __builtin_log2(static_cast<double>(total));
      log_sums[i] = total == 0 ? 0 : largest_[i - strip.begin] + static_cast<S>(log2);
    }
  }

  const AttentionForward& a_;
  const AttentionHead& h_;
  S scale_;
  W *queries_, *weights_;  // [head_dim words, queries]; [keys words, queries]
  S *scores_, *sums_;      // [keys, queries]; [head_dim, queries]
  S *largest_, *total_;    // [queries]: of the scores, and of the weights
};

}  // namespace

void attention_forward(const AttentionForward& a) {
  switch (a.head.element) {
    case Element::float32:
      return Forward<float>(a).run();
    case Element::bfloat16:
      return Forward<BFloat16>(a).run();
    case Element::float64:
      return Forward<double>(a).run();
  }
}

void attention_pairs(const AttentionPairs& a) {
  pack_row_pairs(a.from, 0, a.steps, a.head_dim, a.head_dim, static_cast<int32_t*>(a.to));
}

}  // namespace gamut::ops::GAMUT_ISA
