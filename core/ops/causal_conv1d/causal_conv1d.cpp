// gamut::causal_conv1d: checks, autograd, and the division of the steps among threads.
#include "ops/causal_conv1d/causal_conv1d.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gamut/documents.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/causal_conv1d/device.h"
#include "ops/causal_conv1d/kernel.h"
#include "ops/double_backward.h"
#include "ops/norm/norm.h"
#include "ops/rows.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The pieces of all documents, cut wherever a multiple of kConvSteps begins. Those between two cuts
// are a task: sums over a task, and so all results, do not depend on the number of threads.
struct Tasks {
  std::vector<ConvPiece> pieces;
  std::vector<int64_t> first;  // piece of each task, and at the end the number of pieces

  explicit Tasks(const Documents& documents) {
    for (int64_t i = 0; i < documents.size(); ++i) {
      const int64_t begin = documents.begin(i), end = documents.end(i);
      for (int64_t from = begin; from < end;) {
        if (from % kConvSteps == 0) first.push_back(static_cast<int64_t>(pieces.size()));
        const int64_t to = std::min(end, (from / kConvSteps + 1) * kConvSteps);
        pieces.push_back({from, to, begin, end, i});
        from = to;
      }
    }
    first.push_back(static_cast<int64_t>(pieces.size()));
  }

  int64_t size() const { return static_cast<int64_t>(first.size()) - 1; }

  // Calls run(task, arguments) for every task, on all threads.
  template <class Run>
  void each(const CausalConv1dArguments& all, const Run& run) const {
    at::parallel_for(0, size(), 1, [&](int64_t from, int64_t to) {
      for (int64_t task = from; task < to; ++task) {
        auto a = all;
        a.pieces = pieces.data() + first[task];
        a.n_pieces = first[task + 1] - first[task];
        run(task, a);
      }
    });
  }
};

using Inputs = CausalConv1dInputs;

// The inputs in the types and layouts of the kernel, kept alive.
struct Prepared {
  Rows x;
  Tensor taps, bias, initial_state;
  CausalConv1dArguments arguments{};

  explicit Prepared(const Inputs& in) : x(rows_of(in.x)) {
    const auto type = sum_type(in.x);
    const auto of_sums = [&](const Tensor& t) {
      return t.defined() ? t.to(type).contiguous() : Tensor();
    };
    taps = of_sums(in.weight);
    bias = of_sums(in.bias);
    initial_state = of_sums(in.initial_state);
    arguments.element = element_of(in.x);
    arguments.channels = in.x.size(2);
    arguments.width = taps.size(-1);
    arguments.silu = in.silu;
    arguments.x = x.data();
    arguments.x_stride = x.stride;
    arguments.taps = taps.const_data_ptr();
    arguments.bias = data_or_null(bias);
    arguments.initial_state = data_or_null(initial_state);
  }
};

std::tuple<Tensor, Tensor> run_forward(const Inputs& in) {
  if (const auto* kernels = conv_kernels(in)) return convolve_on_device(*kernels, in);
  const auto documents = in.documents();
  Prepared prepared(in);
  auto y = at::empty(in.x.sizes(), in.x.options());
  auto final_state = at::empty({documents.size(), prepared.arguments.width - 1, in.x.size(2)},
                               in.x.options().dtype(sum_type(in.x)));
  prepared.arguments.y = y.mutable_data_ptr();
  prepared.arguments.final_state = final_state.mutable_data_ptr();
  Tasks(documents).each(prepared.arguments,
                        [](int64_t, const CausalConv1dArguments& a) { causal_conv1d_forward(a); });
  return {y, final_state};
}

// Gradients of x, weight, bias and initial state; dy or d_final may be undefined.
variable_list run_backward(const Inputs& in, const Tensor& dy, const Tensor& d_final) {
  if (const auto* kernels = conv_kernels(in)) {
    return conv_gradients_on_device(*kernels, in, dy, d_final);
  }
  const auto tasks = Tasks(in.documents());
  Prepared prepared(in);
  auto& a = prepared.arguments;
  const auto sums = in.x.options().dtype(sum_type(in.x));
  const auto dy_rows = rows_of(dy.defined() ? dy.to(in.x.scalar_type()) : at::zeros_like(in.x));
  const auto d_last = d_final.defined() ? d_final.to(sums).contiguous() : Tensor();
  const auto dx = at::empty(in.x.sizes(), in.x.options());
  const auto d_initial =
      in.initial_state.defined() ? at::empty(in.initial_state.sizes(), sums) : Tensor();
  // [task, taps then bias, channels]
  const auto parts = at::empty({tasks.size(), a.width + 1, a.channels}, sums);
  a.dy = dy_rows.data();
  a.dy_stride = dy_rows.stride;
  a.d_final_state = data_or_null(d_last);
  a.dx = dx.mutable_data_ptr();
  a.d_initial_state = data_or_null_mutable(d_initial);
  auto* first = static_cast<char*>(parts.mutable_data_ptr());
  const auto row = a.channels * static_cast<int64_t>(parts.element_size());
  tasks.each(a, [&](int64_t task, CausalConv1dArguments& mine) {
    mine.d_taps = first + task * (mine.width + 1) * row;
    mine.d_bias = first + (task * (mine.width + 1) + mine.width) * row;
    causal_conv1d_backward(mine);
  });
  const auto total = parts.sum(0);
  return {dx,
          total.narrow(0, 0, a.width).t().reshape(in.weight.sizes()).to(in.weight.scalar_type()),
          in.bias.defined() ? total[a.width].to(in.bias.scalar_type()) : Tensor(),
          d_initial.defined() ? d_initial.to(in.initial_state.scalar_type()) : Tensor()};
}

std::optional<c10::string_view> activation_of(const Inputs& in) {
  return in.silu ? std::optional<c10::string_view>("silu") : std::nullopt;
}

std::tuple<Tensor, Tensor> composed(const Inputs& in) {
  auto [y, state] =
      causal_conv1d_reference(in.x, in.weight, if_defined(in.bias), if_defined(in.initial_state),
                              if_defined(in.cu_seqlens), activation_of(in));
  if (in.head_dim > 0) {
    y = l2_norm_reference(y.unflatten(2, {-1, in.head_dim}), in.eps, in.clamp).flatten(2);
  }
  return {y, state};
}

struct CausalConv1d : torch::autograd::Function<CausalConv1d> {
  // The tensors are those of `in`, for autograd to see.
  static variable_list forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                               const std::optional<Tensor>& /*bias*/,
                               const std::optional<Tensor>& /*initial_state*/, const Inputs& in) {
    context->save_for_backward({x, weight, in.bias, in.initial_state, in.cu_seqlens});
    auto& kept = context->saved_data;
    kept["silu"] = in.silu;
    kept["head_dim"] = in.head_dim;
    kept["eps"] = in.eps;
    kept["clamp"] = in.clamp;
    context->set_materialize_grads(false);
    const auto [y, final_state] = run_forward(in);
    return {y, final_state};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    auto& kept = context->saved_data;
    const Inputs in{saved[0],
                    saved[1],
                    saved[2],
                    saved[3],
                    saved[4],
                    kept["silu"].toBool(),
                    kept["head_dim"].toInt(),
                    kept["eps"].toDouble(),
                    kept["clamp"].toBool()};
    variable_list result;
    if (at::GradMode::is_enabled()) {
      const Composed f = [&](const std::vector<Tensor>& t) -> std::vector<Tensor> {
        auto moved = in;
        moved.x = t[0], moved.weight = t[1], moved.bias = t[2], moved.initial_state = t[3];
        const auto [y, last] = composed(moved);
        return {y, last};
      };
      result = differentiable_gradients(f, {in.x, in.weight, in.bias, in.initial_state}, grads);
    } else {
      result = run_backward(in, grads[0], grads[1]);
    }
    result.resize(5);
    return result;
  }
};

void check(const Inputs& in, std::optional<c10::string_view> activation) {
  GAMUT_CHECK(in.x.dim() == 3 && in.x.numel() > 0,
              "causal_conv1d: x must be [batch, time, channels], none of them 0, not ",
              in.x.sizes());
  GAMUT_CHECK(has_element(in.x.scalar_type()) || conv_kernels(in),
              "causal_conv1d: x must be float32, bfloat16 or float64 (or float16 on a GPU), not ",
              in.x.scalar_type());
  const auto& w = in.weight;
  GAMUT_CHECK((w.dim() == 2 || (w.dim() == 3 && w.size(1) == 1)) && w.size(0) == in.x.size(2),
              "causal_conv1d: the weight must be [channels, W] or [channels, 1, W] with ",
              in.x.size(2), " channels as in x; it is ", w.sizes());
  const int64_t width = w.size(-1);
  GAMUT_CHECK(width >= 1 && width <= kConvMaxWidth, "causal_conv1d: the weight has ", width,
              " taps; it must have 1 to ", kConvMaxWidth);
  GAMUT_CHECK(!in.bias.defined() || (in.bias.dim() == 1 && in.bias.size(0) == w.size(0)),
              "causal_conv1d: the bias must be [", w.size(0), "], one for each channel; it is ",
              in.bias.defined() ? in.bias.sizes() : at::IntArrayRef());
  GAMUT_CHECK(!activation || *activation == "silu", "causal_conv1d: there is no activation `",
              activation.value_or(""), "`; give \"silu\" or none");
  const auto documents = in.documents();
  const std::vector<int64_t> state{documents.size(), width - 1, in.x.size(2)};
  GAMUT_CHECK(!in.initial_state.defined() || in.initial_state.sizes() == at::IntArrayRef(state),
              "causal_conv1d: initial_state must be [documents, W - 1, channels] = ",
              at::IntArrayRef(state), "; it is ",
              in.initial_state.defined() ? in.initial_state.sizes() : at::IntArrayRef());
}

bool needs_gradient(const Inputs& in) {
  const auto needs = [](const Tensor& t) { return t.defined() && t.requires_grad(); };
  return at::GradMode::is_enabled() &&
         (needs(in.x) || needs(in.weight) || needs(in.bias) || needs(in.initial_state));
}

std::tuple<Tensor, Tensor> run(const Inputs& in) {
  if (!conv_kernels(in) && !in.x.device().is_cpu()) return composed(in);
  if (!needs_gradient(in)) return run_forward(in);
  const auto results =
      CausalConv1d::apply(in.x, in.weight, if_defined(in.bias), if_defined(in.initial_state), in);
  return {results[0], results[1]};
}

}  // namespace

std::tuple<Tensor, Tensor> causal_conv1d(const Tensor& x, const Tensor& weight,
                                         const std::optional<Tensor>& bias,
                                         const std::optional<Tensor>& initial_state,
                                         const std::optional<Tensor>& cu_seqlens,
                                         std::optional<c10::string_view> activation) {
  const Inputs in{x,
                  weight,
                  or_undefined(bias),
                  or_undefined(initial_state),
                  or_undefined(cu_seqlens),
                  activation.has_value()};
  check(in, activation);
  return run(in);
}

std::tuple<Tensor, Tensor> causal_conv1d_l2_norm(const Tensor& x, const Tensor& weight,
                                                 const std::optional<Tensor>& bias,
                                                 int64_t head_dim, double eps, bool clamp,
                                                 const std::optional<Tensor>& initial_state,
                                                 const std::optional<Tensor>& cu_seqlens,
                                                 std::optional<c10::string_view> activation) {
  GAMUT_CHECK(head_dim > 0 && x.dim() == 3 && x.size(2) % head_dim == 0,
              "causal_conv1d_l2_norm: head_dim = ", head_dim,
              " must divide the channels of x [batch, time, channels], ", x.sizes());
  GAMUT_CHECK(eps >= 0, "causal_conv1d_l2_norm: eps = ", eps, " must be 0 or more");
  Inputs in{x,
            weight,
            or_undefined(bias),
            or_undefined(initial_state),
            or_undefined(cu_seqlens),
            activation.has_value()};
  check(in, activation);
  in.head_dim = head_dim, in.eps = eps, in.clamp = clamp;
  if (conv_kernels(in)) return run(in);
  in.head_dim = 0;
  const auto [y, state] = run(in);
  return {l2_norm(y.unflatten(2, {-1, head_dim}), eps, clamp).flatten(2), state};
}

}  // namespace gamut::ops
