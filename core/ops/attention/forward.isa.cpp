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
      : a_(arguments),
        h_(a_.head),
        few_(sizeof(S) == sizeof(float) && attention_has_few(h_.queries, h_.head_dim)),
        scale_(static_cast<S>(h_.scale * 1.4426950408889634)) {
    Scratch scratch{static_cast<char*>(a_.scratch)};
    queries_ = scratch.take<W>(h_.head_dim * kRow);
    scores_ = scratch.take<S>(kAttentionKeys * kRow);
    weights_ = kElements == 1 ? reinterpret_cast<W*>(scores_)
                              : scratch.take<W>(kAttentionKeys / kElements * kRow);
    sums_ = scratch.take<S>(attention_padded(h_.head_dim) * kRow);
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
    if (few_ && kElements == 1) {
      pack_few(strip);
    } else {
      turn_rows<T>(h_.q, strip.begin, strip.end, h_.head_dim, queries_);
    }
    for (int64_t i = 0; i < kRow; ++i) largest_[i] = kNoMaximum<S>, total_[i] = 0;
    const int64_t used = few_ ? 8 * attention_padded(h_.head_dim) : h_.head_dim * kRow;
    for (int64_t i = 0; i < used; ++i) sums_[i] = 0;
    for (int64_t key = strip.first_key; key < strip.last_key; key += kAttentionKeys) {
      const int64_t left = strip.last_key - key;
      run_block(strip, key, left < kAttentionKeys ? left : kAttentionKeys);
    }
    few_ ? finish_few(strip) : finish(strip);
  }

  void run_block(const Strip<T>& strip, int64_t key, int64_t keys) {
    if (few_) return run_few(strip, key, keys);
    score(strip, key, keys);
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

  void score(const Strip<T>& strip, int64_t key, int64_t keys) const {
    multiply<T>({keys,
                 strip.vectors,
                 h_.head_dim / kElements,
                 {words_of<T>(h_.k, key), word_step<T>(h_.k), 1},
                 {queries_, kRow},
                 scores_,
                 kRow,
                 scale_,
                 false});
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
    write_log_sums(strip);
  }

  void write_log_sums(const Strip<T>& strip) const {
    auto* out = static_cast<S*>(a_.log_sums.data) + strip.begin * a_.log_sums.step;
    for (int64_t i = 0; i < strip.end - strip.begin; ++i, out += a_.log_sums.step) {
      const double log2 = __builtin_log2(static_cast<double>(total_[i]));
      *out = total_[i] == 0 ? 0 : largest_[i] + static_cast<S>(log2);
    }
  }

  // ---- Few queries ----

  // Channels from which register i of a row is read; the last ones may overlap.
  int64_t channel(int64_t i) const {
    const int64_t last = h_.head_dim - kWidth;
    return i * kWidth < last ? i * kWidth : last;
  }
  int64_t registers() const { return (h_.head_dim + kWidth - 1) / kWidth; }
  // Of a query's result.
  S* result(int64_t query, int64_t i) const {
    return sums_ + (query * attention_padded(h_.head_dim)) + i * kWidth;
  }

  void run_few(const Strip<T>& strip, int64_t key, int64_t keys) {
    if constexpr (kElements == 1 && sizeof(T) == sizeof(float)) {
      for (int64_t j = 0; j < keys; j += kWidth) {
        const int64_t count = keys - j < kWidth ? keys - j : kWidth;
        for (int64_t i = 0; i < strip.end - strip.begin; ++i) score_keys(i, key + j, count, j);
      }
    } else {
      score(strip, key, keys);
    }
    strip.hide(key, keys, scores_);
    weigh_few(strip, key, keys);
  }

  // Rows of the queries as `registers` of channels; what two registers share counts in the first.
  void pack_few(const Strip<T>& strip) {
    if constexpr (kElements == 1) {
      for (int64_t i = 0; i < strip.end - strip.begin; ++i) {
        const T* const from = row_of<T>(h_.q, strip.begin + i);
        for (int64_t r = 0; r < registers(); ++r) {
          const int64_t known = r * kWidth - channel(r);
          S* const to = query_row(i) + r * kWidth;
          for (int64_t c = 0; c < kWidth; ++c) to[c] = c < known ? 0 : from[channel(r) + c];
        }
      }
      for (int64_t j = 0; j < kAttentionKeys * kRow; ++j) scores_[j] = 0;
    }
  }
  S* query_row(int64_t i) const {
    return reinterpret_cast<S*>(queries_) + i * attention_padded(h_.head_dim);
  }

  // Scores of a query with one register of keys, channels in lanes: fewer products than one query a
  // lane, most of which would be idle.
  void score_keys(int64_t query, int64_t key, int64_t keys, int64_t row) {
    V parts[kWidth];
    for (int64_t j = 0; j < kWidth; ++j) {
      const T* const k = row_of<T>(h_.k, key + (j < keys ? j : 0));
      parts[j] = V{};
      for (int64_t r = 0; r < registers(); ++r) {
        parts[j] += load(query_row(query) + r * kWidth) * load(k + channel(r));
      }
    }
    transpose(parts);
    V total = {};
    for (int64_t j = 0; j < kWidth; ++j) total += parts[j];
    total *= scale_;
    for (int64_t j = 0; j < keys; ++j) scores_[(row + j) * kRow + query] = total[j];
  }

  void weigh_few(const Strip<T>& strip, int64_t key, int64_t keys) {
    const V before = load(largest_);
    V largest = before;
    for (int64_t j = 0; j < keys; ++j) {
      const V x = load(scores_ + j * kRow);
      largest = x > largest ? x : largest;
    }
    const V shrink = exp2(before - largest);
    V total = load(total_) * shrink;
    for (int64_t j = 0; j < keys; ++j) {
      const V weight = exp2(load(scores_ + j * kRow) - largest);
      store(scores_ + j * kRow, weight);
      total += weight;
    }
    store(largest_, largest);
    store(total_, total);
    const int64_t queries = strip.end - strip.begin;
    for (int64_t i = 0; i < queries; ++i) {
      for (int64_t r = 0; r < registers(); ++r) store(result(i, r), load(result(i, r)) * shrink[i]);
    }
    for (int64_t i = 0; i < queries;) {
      const int64_t count = queries - i >= 4 ? 4 : queries - i >= 2 ? 2 : 1;
      if (count == 4) add_values<4>(i, key, keys);
      if (count == 2) add_values<2>(i, key, keys);
      if (count == 1) add_values<1>(i, key, keys);
      i += count;
    }
  }

  template <int kQueries>
  void add_values(int64_t query, int64_t key, int64_t keys) {
    int64_t r = 0;
    for (; r + 2 <= registers(); r += 2) add_registers<kQueries, 2>(query, r, key, keys);
    if (r < registers()) add_registers<kQueries, 1>(query, r, key, keys);
  }
  template <int kQueries, int kRegisters>
  void add_registers(int64_t query, int64_t first, int64_t key, int64_t keys) {
    V sums[kQueries][kRegisters];
    for (int i = 0; i < kQueries; ++i) {
      for (int r = 0; r < kRegisters; ++r) sums[i][r] = load(result(query + i, first + r));
    }
    const T* values[kRegisters];
    for (int r = 0; r < kRegisters; ++r) values[r] = row_of<T>(h_.v, key) + channel(first + r);
    for (int64_t j = 0; j < keys; ++j) {
      for (int r = 0; r < kRegisters; ++r) {
        const V x = load(values[r] + j * h_.v.step);
        for (int i = 0; i < kQueries; ++i) sums[i][r] += scores_[j * kRow + query + i] * x;
      }
    }
    for (int i = 0; i < kQueries; ++i) {
      for (int r = 0; r < kRegisters; ++r) store(result(query + i, first + r), sums[i][r]);
    }
  }

  void finish_few(const Strip<T>& strip) {
    for (int64_t i = 0; i < strip.end - strip.begin; ++i) {
      const S factor = total_[i] == 0 ? 0 : 1 / total_[i];
      T* const y = static_cast<T*>(a_.y.data) + (strip.begin + i) * a_.y.step;
      for (int64_t r = 0; r < registers(); ++r) store(y + channel(r), load(result(i, r)) * factor);
    }
    write_log_sums(strip);
  }

  const AttentionForward& a_;
  const AttentionHead& h_;
  bool few_;
  S scale_;
  W *queries_, *weights_;  // [head_dim words, queries]; [keys words, queries]
  S *scores_, *sums_;      // [keys, queries]; [head_dim, queries], or rows of few queries
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
