// A call of gamut::attention as its kernels take it: operands, spans, heads.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "ops/attention/kernel.h"
#include "ops/attention/spans.h"
#include "ops/rows.h"

namespace gamut::ops {

struct AttentionSettings {
  double scale;
  bool causal;
  int64_t window;
};

// x [.., steps, heads, head_dim] with rows that lie together; for bfloat16 words of two elements
// must not cross from one row to the next.
inline at::Tensor as_rows(const at::Tensor& x) {
  const bool pairs = x.scalar_type() == at::kBFloat16;
  if (pairs && x.size(3) % 2 != 0) return at::constant_pad_nd(x, {0, 1});
  const bool whole =
      !pairs || (x.stride(0) % 2 == 0 && x.stride(1) % 2 == 0 && x.stride(2) % 2 == 0);
  return x.stride(3) == 1 && whole ? x : x.contiguous();
}

inline void* at_element(const at::Tensor& x, int64_t row, int64_t step, int64_t head) {
  const int64_t i = row * x.stride(0) + step * x.stride(1) + head * x.stride(2);
  return static_cast<char*>(x.data_ptr()) + i * static_cast<int64_t>(x.element_size());
}

// Runs run(i, scratch) for i < tasks, whoever is free taking the next one: on all threads if they
// are worth `work` products, below that on this one.
template <class Run>
void each_task(int64_t tasks, int64_t scratch_size, int64_t work, const Run& run) {
  constexpr int64_t kLeastWork = 1 << 18;
  const int64_t threads = work < kLeastWork ? 1 : at::get_num_threads();
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min(threads, tasks), 1, [&](int64_t, int64_t) {
    const auto scratch = at::empty({scratch_size}, at::kDouble);
    for (int64_t i = next++; i < tasks; i = next++) run(i, scratch.mutable_data_ptr());
  });
}

// A call's operands, and its spans with where each begins in a buffer of all their keys.
class AttentionProblem {
 public:
  AttentionProblem(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                   const std::vector<AttentionSpan>& spans, const AttentionSettings& settings)
      : q_(as_rows(q)), k_(as_rows(k)), v_(as_rows(v)), spans_(spans), settings_(settings) {
    for (const auto& s : spans_) {
      first_word_.push_back(words_);
      first_key_.push_back(keys_);
      words_ += (s.keys + 1) / 2;
      keys_ += s.keys;
      work_ += s.queries * s.keys * heads() * head_dim();
    }
  }

  const at::Tensor& q() const { return q_; }
  const at::Tensor& k() const { return k_; }
  int64_t heads() const { return q_.size(2); }
  int64_t kv_heads() const { return k_.size(2); }
  int64_t groups() const { return heads() / kv_heads(); }
  int64_t head_dim() const { return q_.size(3); }
  int64_t padded() const { return attention_padded(head_dim()); }
  int64_t keys() const { return keys_; }
  // Products of a pass over all scores; a causal mask leaves about half of them.
  int64_t work() const { return work_; }
  int64_t first_key(int64_t span) const { return first_key_[span]; }
  const std::vector<AttentionSpan>& spans() const { return spans_; }

  // Words of neighbouring keys of v, for the forward pass, or of k, where their type asks for them.
  at::Tensor value_pairs() const {
    return pairs_of(v_, [&](int64_t i) { return !attention_has_few(query_count(i), head_dim()); });
  }
  at::Tensor key_pairs() const {
    return pairs_of(k_, [](int64_t) { return true; });
  }

  // Where a span has one query, those of the heads that share a key head are queries of one head.
  bool folds(int64_t span) const {
    const auto& s = spans_[span];
    return s.queries == 1 && groups() > 1 && (settings_.window == 0 || s.keys <= settings_.window);
  }
  // How many heads the kernel sees in a span, and how many of q each of them is.
  int64_t head_step(int64_t span) const { return folds(span) ? groups() : 1; }
  int64_t head_count(int64_t span) const { return heads() / head_step(span); }
  int64_t query_count(int64_t span) const { return folds(span) ? groups() : spans_[span].queries; }

  // Queries of a head in x [batch, queries, heads, ..].
  AttentionOutput queries_of(const at::Tensor& x, int64_t span, int64_t head) const {
    const auto& s = spans_[span];
    return {at_element(x, s.row, s.query, head), x.stride(folds(span) ? 2 : 1)};
  }
  AttentionRows query_rows(const at::Tensor& x, int64_t span, int64_t head) const {
    const auto rows = queries_of(x, span, head);
    return {rows.data, rows.step};
  }

  AttentionHead head(int64_t span, int64_t head, const at::Tensor& pairs) const {
    const auto& s = spans_[span];
    const int64_t kv_head = head / groups();
    return {element_of(q_),
            head_dim(),
            query_count(span),
            s.keys,
            settings_.causal && !folds(span),
            settings_.window,
            settings_.scale,
            query_rows(q_, span, head),
            {at_element(k_, s.key_row, s.key, kv_head), k_.stride(1)},
            {at_element(v_, s.key_row, s.key, kv_head), v_.stride(1)},
            pairs.defined() ? words_of(pairs, span, kv_head) : nullptr};
  }

 private:
  template <class Needs>
  at::Tensor pairs_of(const at::Tensor& x, const Needs& needs) const {
    if (x.scalar_type() != at::kBFloat16) return at::Tensor();
    std::vector<int64_t> spans;
    for (int64_t i = 0; i < static_cast<int64_t>(spans_.size()); ++i) {
      if (needs(i)) spans.push_back(i);
    }
    if (spans.empty()) return at::Tensor();
    const auto result = at::empty({kv_heads(), words_, head_dim()}, at::kInt);
    const auto tasks = static_cast<int64_t>(spans.size()) * kv_heads();
    each_task(tasks, 0, work_, [&](int64_t task, void*) {
      const int64_t i = spans[task / kv_heads()], head = task % kv_heads();
      const auto& s = spans_[i];
      attention_pairs({{at_element(x, s.key_row, s.key, head), x.stride(1)},
                       s.keys,
                       head_dim(),
                       words_of(result, i, head)});
    });
    return result;
  }
  void* words_of(const at::Tensor& pairs, int64_t span, int64_t kv_head) const {
    return pairs.mutable_data_ptr<int32_t>() + (kv_head * words_ + first_word_[span]) * head_dim();
  }

  at::Tensor q_, k_, v_;
  const std::vector<AttentionSpan>& spans_;
  AttentionSettings settings_;
  std::vector<int64_t> first_word_, first_key_;
  int64_t words_ = 0, keys_ = 0, work_ = 0;
};

}  // namespace gamut::ops
