// gamut::attention: autograd, the operands as the kernels take them, and the division of the work
// among threads.
#include "ops/attention/attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <atomic>
#include <cmath>

#include "ops/attention/kernel.h"
#include "ops/attention/spans.h"
#include "ops/double_backward.h"
#include "ops/rows.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kTaskQueries = 2 * kAttentionQueries;  // of a task of the forward pass

struct Settings {
  double scale;
  bool causal;
  int64_t window;
};

// x [.., steps, heads, head_dim] with rows that lie together; for bfloat16 words of two elements
// must not cross from one row to the next.
Tensor as_rows(const Tensor& x) {
  const bool pairs = x.scalar_type() == at::kBFloat16;
  if (pairs && x.size(3) % 2 != 0) return at::constant_pad_nd(x, {0, 1});
  const bool whole =
      !pairs || (x.stride(0) % 2 == 0 && x.stride(1) % 2 == 0 && x.stride(2) % 2 == 0);
  return x.stride(3) == 1 && whole ? x : x.contiguous();
}

void* at_element(const Tensor& x, int64_t row, int64_t step, int64_t head) {
  const int64_t i = row * x.stride(0) + step * x.stride(1) + head * x.stride(2);
  return static_cast<char*>(x.data_ptr()) + i * static_cast<int64_t>(x.element_size());
}

// Runs run(i, scratch) for i < tasks on all threads, whoever is free taking the next one.
template <class Run>
void each_task(int64_t tasks, int64_t scratch_size, const Run& run) {
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(at::get_num_threads(), tasks), 1, [&](int64_t, int64_t) {
    const auto scratch = at::empty({scratch_size}, at::kDouble);
    for (int64_t i = next++; i < tasks; i = next++) run(i, scratch.mutable_data_ptr());
  });
}

// A call's operands, and its spans with where each begins in a buffer of all their keys.
class Problem {
 public:
  Problem(const Tensor& q, const Tensor& k, const Tensor& v,
          const std::vector<AttentionSpan>& spans, const Settings& settings)
      : q_(as_rows(q)), k_(as_rows(k)), v_(as_rows(v)), spans_(spans), settings_(settings) {
    for (const auto& s : spans_) {
      first_word_.push_back(words_);
      first_key_.push_back(keys_);
      words_ += (s.keys + 1) / 2;
      keys_ += s.keys;
    }
  }

  const Tensor& q() const { return q_; }
  int64_t heads() const { return q_.size(2); }
  int64_t kv_heads() const { return k_.size(2); }
  int64_t groups() const { return heads() / kv_heads(); }
  int64_t head_dim() const { return q_.size(3); }
  int64_t padded() const { return attention_padded(head_dim()); }
  int64_t keys() const { return keys_; }
  int64_t first_key(int64_t span) const { return first_key_[span]; }
  const std::vector<AttentionSpan>& spans() const { return spans_; }

  // Words of `x`, which is k or v, of neighbouring keys, where the element type asks for them.
  Tensor pairs_of(const Tensor& x) const {
    if (x.scalar_type() != at::kBFloat16) return Tensor();
    const auto result = at::empty({kv_heads(), words_, head_dim()}, at::kInt);
    const int64_t spans = static_cast<int64_t>(spans_.size());
    each_task(spans * kv_heads(), 0, [&](int64_t task, void*) {
      const int64_t i = task / kv_heads(), head = task % kv_heads();
      const auto& s = spans_[i];
      attention_pairs({{at_element(x, s.key_row, s.key, head), x.stride(1)},
                       s.keys,
                       head_dim(),
                       words_of(result, i, head)});
    });
    return result;
  }
  Tensor key_pairs() const { return pairs_of(k_); }
  Tensor value_pairs() const { return pairs_of(v_); }

  AttentionHead head(int64_t span, int64_t head, const Tensor& pairs) const {
    const auto& s = spans_[span];
    const int64_t kv_head = head / groups();
    return {element_of(q_),
            head_dim(),
            s.queries,
            s.keys,
            settings_.causal,
            settings_.window,
            settings_.scale,
            {at_element(q_, s.row, s.query, head), q_.stride(1)},
            {at_element(k_, s.key_row, s.key, kv_head), k_.stride(1)},
            {at_element(v_, s.key_row, s.key, kv_head), v_.stride(1)},
            pairs.defined() ? words_of(pairs, span, kv_head) : nullptr};
  }

 private:
  void* words_of(const Tensor& pairs, int64_t span, int64_t kv_head) const {
    return pairs.mutable_data_ptr<int32_t>() + (kv_head * words_ + first_word_[span]) * head_dim();
  }

  Tensor q_, k_, v_;
  const std::vector<AttentionSpan>& spans_;
  Settings settings_;
  std::vector<int64_t> first_word_, first_key_;
  int64_t words_ = 0, keys_ = 0;
};

// Queries of a span that one thread does at once.
struct Task {
  int64_t span, head, begin, end;
};

// Under a causal mask the last queries have the most to do: they come first.
std::vector<Task> tasks_of(const Problem& problem) {
  std::vector<Task> tasks;
  const int64_t spans = static_cast<int64_t>(problem.spans().size());
  for (int64_t span = 0; span < spans; ++span) {
    for (int64_t head = 0; head < problem.heads(); ++head) {
      for (int64_t end = problem.spans()[span].queries; end > 0;) {
        const int64_t begin = (end - 1) / kTaskQueries * kTaskQueries;
        tasks.push_back({span, head, begin, end});
        end = begin;
      }
    }
  }
  return tasks;
}

struct Result {
  Tensor y;         // [batch, queries, heads, head_dim]
  Tensor log_sums;  // [batch, heads, queries]
};

// The number of queries that the spans have.
int64_t covered(const std::vector<AttentionSpan>& spans) {
  int64_t count = 0;
  for (const auto& s : spans) count += s.queries;
  return count;
}

// As x, and zero where no span would write.
Tensor output_like(const Tensor& x, int64_t steps_written) {
  const bool all = steps_written == x.size(0) * x.size(1);
  return all ? at::empty(x.sizes(), x.options()) : at::zeros(x.sizes(), x.options());
}

Result run_forward(const Problem& problem) {
  const auto& q = problem.q();
  const auto y = output_like(q, covered(problem.spans()));
  const auto log_sums =
      at::empty({q.size(0), q.size(2), q.size(1)}, q.options().dtype(sum_type(q)));
  const auto pairs = problem.value_pairs();
  const auto tasks = tasks_of(problem);
  each_task(static_cast<int64_t>(tasks.size()), attention_forward_scratch(problem.head_dim()),
            [&](int64_t i, void* scratch) {
              const auto& t = tasks[i];
              const auto& s = problem.spans()[t.span];
              auto* const sums = static_cast<char*>(log_sums.data_ptr());
              const int64_t first = (s.row * q.size(2) + t.head) * q.size(1) + s.query;
              attention_forward({problem.head(t.span, t.head, pairs),
                                 t.begin,
                                 t.end,
                                 {at_element(y, s.row, s.query, t.head), y.stride(1)},
                                 sums + first * static_cast<int64_t>(log_sums.element_size()),
                                 scratch});
            });
  return {y, log_sums};
}

class BackwardRun {
 public:
  BackwardRun(const Problem& problem, const Tensor& dy, const Result& result)
      : problem_(problem),
        q_(problem.q()),
        dy_(as_rows(dy.to(q_.scalar_type()))),
        y_(as_rows(result.y)),
        log_sums_(result.log_sums),
        pairs_(problem.key_pairs()),
        dq_(output_like(q_, covered(problem.spans()))),
        parts_(at::empty({2, problem.heads(), problem.keys(), problem.padded()},
                         log_sums_.options())) {}

  // Gradients of q, k and v, whose sizes those of k are.
  variable_list run(const Tensor& k) {
    const int64_t spans = static_cast<int64_t>(problem_.spans().size()), heads = problem_.heads();
    each_task(spans * heads, attention_backward_scratch(problem_.head_dim()),
              [&](int64_t task, void* scratch) { run_head(task / heads, task % heads, scratch); });
    const auto dk = output_like(k, problem_.keys()), dv = output_like(k, problem_.keys());
    each_task(spans * problem_.kv_heads(), 0, [&](int64_t task, void*) {
      const int64_t span = task / problem_.kv_heads(), head = task % problem_.kv_heads();
      add_up(span, head, 0, dk);
      add_up(span, head, 1, dv);
    });
    return {dq_, dk, dv};
  }

 private:
  // Of the gradient of k (0) or v (1).
  char* part(int64_t which, int64_t head, int64_t span) const {
    const int64_t row =
        (which * problem_.heads() + head) * problem_.keys() + problem_.first_key(span);
    return static_cast<char*>(parts_.data_ptr()) +
           row * problem_.padded() * static_cast<int64_t>(parts_.element_size());
  }

  void run_head(int64_t span, int64_t head, void* scratch) const {
    const auto& s = problem_.spans()[span];
    const int64_t first = (s.row * q_.size(2) + head) * q_.size(1) + s.query;
    const auto rows = [&](const Tensor& x) {
      return AttentionRows{at_element(x, s.row, s.query, head), x.stride(1)};
    };
    attention_backward({problem_.head(span, head, pairs_),
                        rows(y_),
                        rows(dy_),
                        static_cast<const char*>(log_sums_.data_ptr()) +
                            first * static_cast<int64_t>(log_sums_.element_size()),
                        {at_element(dq_, s.row, s.query, head), dq_.stride(1)},
                        part(0, head, span),
                        part(1, head, span),
                        scratch});
  }

  void add_up(int64_t span, int64_t kv_head, int64_t which, const Tensor& to) const {
    const auto& s = problem_.spans()[span];
    attention_sum({element_of(to),
                   problem_.groups(),
                   problem_.keys() * problem_.padded(),
                   0,
                   s.keys,
                   to.size(3),
                   part(which, kv_head * problem_.groups(), span),
                   {at_element(to, s.key_row, s.key, kv_head), to.stride(1)}});
  }

  const Problem& problem_;
  const Tensor& q_;
  Tensor dy_, y_, log_sums_, pairs_, dq_, parts_;
};

// An odd head_dim of bfloat16 was padded inside.
Tensor trimmed(const Tensor& x, int64_t head_dim) {
  return x.size(3) == head_dim ? x : x.narrow(3, 0, head_dim);
}

struct Attention : torch::autograd::Function<Attention> {
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                        const std::optional<Tensor>& spans, const std::vector<AttentionSpan>& list,
                        const Settings& settings) {
    const auto result = run_forward({q, k, v, list, settings});
    const auto y = trimmed(result.y, q.size(3));
    context->save_for_backward({q, k, v, y, result.log_sums, or_undefined(spans)});
    auto& kept = context->saved_data;
    kept["scale"] = settings.scale;
    kept["causal"] = settings.causal;
    kept["window"] = settings.window;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    auto& kept = context->saved_data;
    const Settings settings{kept["scale"].toDouble(), kept["causal"].toBool(),
                            kept["window"].toInt()};
    const auto &q = saved[0], &k = saved[1], &v = saved[2];
    variable_list result;
    if (at::GradMode::is_enabled()) {
      const Composed f = [&](const std::vector<Tensor>& t) -> std::vector<Tensor> {
        return {attention_reference(t[0], t[1], t[2], settings.scale, settings.causal,
                                    settings.window, if_defined(saved[5]))};
      };
      result = differentiable_gradients(f, {q, k, v}, grads);
    } else {
      const auto list =
          attention_spans(q, k, v, settings.causal, settings.window, if_defined(saved[5]));
      const Problem problem(q, k, v, list, settings);
      auto padded = k.size(3) == problem.head_dim() ? k : as_rows(k);
      for (const auto& x : BackwardRun(problem, grads[0], {saved[3], saved[4]}).run(padded)) {
        result.push_back(trimmed(x, q.size(3)));
      }
    }
    result.resize(6);
    return result;
  }
};

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, std::optional<double> scale,
                 bool causal, int64_t window, const std::optional<Tensor>& spans) {
  const auto list = attention_spans(q, k, v, causal, window, spans);
  if (!q.device().is_cpu() || !has_element(q.scalar_type())) {
    return attention_reference(q, k, v, scale, causal, window, spans);
  }
  const Settings settings{scale.value_or(1 / std::sqrt(static_cast<double>(q.size(3)))), causal,
                          window};
  const bool differentiates =
      at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
  if (differentiates) return Attention::apply(q, k, v, spans, list, settings);
  return trimmed(run_forward({q, k, v, list, settings}).y, q.size(3));
}

}  // namespace gamut::ops
