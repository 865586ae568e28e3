// gamut::attention: autograd, the operands as the kernels take them, and the division of the work
// among threads.
#include "ops/attention/attention.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "ops/attention/problem.h"
#include "ops/double_backward.h"
#include "ops/rows.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kTaskQueries = 2 * kAttentionQueries;  // of a task of the forward pass

// Queries of a span that one thread does at once.
struct Task {
  int64_t span, head, begin, end;
};

// Under a causal mask the last queries have the most to do: they come first.
std::vector<Task> tasks_of(const AttentionProblem& problem) {
  std::vector<Task> tasks;
  const int64_t spans = static_cast<int64_t>(problem.spans().size());
  for (int64_t span = 0; span < spans; ++span) {
    const int64_t step = problem.head_step(span);
    for (int64_t head = 0; head < problem.heads(); head += step) {
      for (int64_t end = problem.query_count(span); end > 0;) {
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
  Tensor log_sums;  // [batch, queries, heads, 1]
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

Result run_forward(const AttentionProblem& problem) {
  const auto& q = problem.q();
  const auto y = output_like(q, covered(problem.spans()));
  const auto log_sums =
      at::empty({q.size(0), q.size(1), q.size(2), 1}, q.options().dtype(sum_type(q)));
  const auto pairs = problem.value_pairs();
  const auto tasks = tasks_of(problem);
  each_task(static_cast<int64_t>(tasks.size()), attention_forward_scratch(problem.head_dim()),
            problem.work(), [&](int64_t i, void* scratch) {
              const auto& t = tasks[i];
              attention_forward({problem.head(t.span, t.head, pairs), t.begin, t.end,
                                 problem.queries_of(y, t.span, t.head),
                                 problem.queries_of(log_sums, t.span, t.head), scratch});
            });
  return {y, log_sums};
}

class BackwardRun {
 public:
  BackwardRun(const AttentionProblem& problem, const Tensor& dy, const Result& result)
      : problem_(problem),
        dy_(as_rows(dy.to(problem.q().scalar_type()))),
        y_(as_rows(result.y)),
        log_sums_(result.log_sums),
        pairs_(problem.key_pairs()),
        dq_(output_like(problem.q(), covered(problem.spans()))),
        parts_(at::empty({2, problem.heads(), problem.keys(), problem.padded()},
                         log_sums_.options())) {}

  // Gradients of q, k and v.
  variable_list run() {
    const int64_t spans = static_cast<int64_t>(problem_.spans().size()), heads = problem_.heads();
    each_task(spans * heads, attention_backward_scratch(problem_.head_dim()), problem_.work(),
              [&](int64_t task, void* scratch) {
                const int64_t span = task / heads, head = task % heads;
                if (head % problem_.head_step(span) == 0) run_head(span, head, scratch);
              });
    const auto dk = output_like(problem_.k(), problem_.keys());
    const auto dv = output_like(problem_.k(), problem_.keys());
    each_task(spans * problem_.kv_heads(), 0, problem_.work(), [&](int64_t task, void*) {
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
    attention_backward(
        {problem_.head(span, head, pairs_), problem_.query_rows(y_, span, head),
         problem_.query_rows(dy_, span, head), problem_.query_rows(log_sums_, span, head),
         problem_.queries_of(dq_, span, head), part(0, head, span), part(1, head, span), scratch});
  }

  void add_up(int64_t span, int64_t kv_head, int64_t which, const Tensor& to) const {
    const auto& s = problem_.spans()[span];
    attention_sum({element_of(to),
                   problem_.groups() / problem_.head_step(span),
                   problem_.keys() * problem_.padded(),
                   s.keys,
                   to.size(3),
                   part(which, kv_head * problem_.groups(), span),
                   {at_element(to, s.key_row, s.key, kv_head), to.stride(1)}});
  }

  const AttentionProblem& problem_;
  Tensor dy_, y_, log_sums_, pairs_, dq_, parts_;
};

// An odd head_dim of bfloat16 was padded inside.
Tensor trimmed(const Tensor& x, int64_t head_dim) {
  return x.size(3) == head_dim ? x : x.narrow(3, 0, head_dim);
}

struct Attention : torch::autograd::Function<Attention> {
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                        const std::optional<Tensor>& spans, const std::vector<AttentionSpan>& list,
                        const AttentionSettings& settings) {
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
    const AttentionSettings settings{kept["scale"].toDouble(), kept["causal"].toBool(),
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
      const AttentionProblem problem(q, k, v, list, settings);
      for (const auto& x : BackwardRun(problem, grads[0], {saved[3], saved[4]}).run()) {
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
  const AttentionSettings settings{scale.value_or(1 / std::sqrt(static_cast<double>(q.size(3)))),
                                   causal, window};
  const bool differentiates =
      at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
  if (differentiates) return Attention::apply(q, k, v, spans, list, settings);
  return trimmed(run_forward({q, k, v, list, settings}).y, q.size(3));
}

}  // namespace gamut::ops
