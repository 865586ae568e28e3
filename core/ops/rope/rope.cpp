// gamut::rope: checks, autograd, and the division of the steps among threads.
#include "ops/rope/rope.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/device.h"
#include "ops/double_backward.h"
#include "ops/rope/device.h"
#include "ops/rope/kernel.h"
#include "ops/rope/steps.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Steps of a task; fixed, so that sums do not depend on the number of threads.
constexpr int64_t kTaskSteps = 64;

using Inputs = RopeInputs;

int64_t tasks_of(const Inputs& in) {
  return (in.steps() + kTaskSteps - 1) / kTaskSteps;
}

const cuda::KernelTable* kernels_of(const Inputs& in) {
  return device_kernels({in.x, in.weight, in.gain, in.cos, in.sin});
}

Tensor composed(const Inputs& in) {
  return rope_reference(in.x, in.cos, in.sin, in.interleaved, if_defined(in.weight), in.eps,
                        if_defined(in.gain));
}

// The inputs in the types and layouts of the kernel, kept alive.
struct Prepared {
  Rows x;
  Tensor cos, sin, weight, gain;
  RopeArguments arguments{};

  explicit Prepared(const Inputs& in) : x(steps_of(in.x)) {
    const auto type = sum_type(in.x);
    const auto of_sums = [&](const Tensor& t) {
      return t.defined() ? t.to(type).contiguous() : Tensor();
    };
    cos = of_sums(in.cos);
    sin = of_sums(in.sin);
    weight = of_sums(in.weight);
    gain = of_sums(in.gain);
    auto& a = arguments;
    a.element = element_of(in.x);
    a.heads = in.x.size(2);
    a.head_dim = in.x.size(3);
    a.pairs = cos.size(-1);
    a.interleaved = in.interleaved;
    a.normalize = in.eps.has_value();
    a.eps = in.eps.value_or(0);
    a.x = x.data();
    a.x_stride = x.stride;
    a.cos = cos.const_data_ptr();
    a.sin = sin.const_data_ptr();
    a.table_steps = cos.dim() == 2 ? in.x.size(1) : in.steps();
    a.weight = data_or_null(weight);
    a.gain = data_or_null(gain);
  }

  // Calls run(task, arguments) for every task, on all threads.
  template <class Run>
  void each(const Inputs& in, const Run& run) const {
    at::parallel_for(0, tasks_of(in), 1, [&](int64_t from, int64_t to) {
      for (int64_t task = from; task < to; ++task) {
        auto a = arguments;
        a.begin = task * kTaskSteps;
        a.end = std::min(in.steps(), a.begin + kTaskSteps);
        run(task, a);
      }
    });
  }
};

Tensor run_forward(const Inputs& in) {
  if (const auto* kernels = kernels_of(in)) return rotate_on_device(*kernels, in);
  Prepared prepared(in);
  auto y = at::empty(in.x.sizes(), in.x.options());
  prepared.arguments.y = y.mutable_data_ptr();
  prepared.each(in, [](int64_t, const RopeArguments& a) { rope_forward(a); });
  return y;
}

// Gradients of x, weight and gain.
variable_list run_backward(const Inputs& in, const Tensor& grad) {
  if (const auto* kernels = kernels_of(in)) {
    const auto [dx, d_weight, d_gain] = rope_gradients_on_device(*kernels, in, grad);
    return {dx, d_weight, d_gain};
  }
  Prepared prepared(in);
  const auto dy = steps_of(grad.to(in.x.scalar_type()));
  const auto dx = at::empty(in.x.sizes(), in.x.options());
  auto& arguments = prepared.arguments;
  arguments.dy = dy.data();
  arguments.dy_stride = dy.stride;
  arguments.dx = dx.mutable_data_ptr();
  // One row a task: d_weight, then d_gain.
  const int64_t d = arguments.head_dim;
  const auto parts =
      at::zeros({tasks_of(in), d + arguments.heads}, in.x.options().dtype(sum_type(in.x)));
  auto* first = static_cast<char*>(parts.mutable_data_ptr());
  const auto size = static_cast<int64_t>(parts.element_size());
  prepared.each(in, [&](int64_t task, RopeArguments& a) {
    auto* row = first + task * (d + a.heads) * size;
    a.d_weight = in.weight.defined() ? row : nullptr;
    a.d_gain = in.gain.defined() ? row + d * size : nullptr;
    rope_backward(a);
  });
  const auto total = parts.sum(0);
  const auto of = [&](const Tensor& t, int64_t from) {
    return t.defined() ? total.narrow(0, from, t.size(0)).to(t.scalar_type()) : Tensor();
  };
  return {dx, of(in.weight, 0), of(in.gain, d)};
}

struct Rotary : torch::autograd::Function<Rotary> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& cos,
                        const Tensor& sin, bool interleaved, const std::optional<Tensor>& weight,
                        std::optional<double> eps, const std::optional<Tensor>& gain) {
    const Inputs in{x, cos, sin, interleaved, or_undefined(weight), eps, or_undefined(gain)};
    context->save_for_backward({x, cos, sin, in.weight, in.gain});
    context->saved_data["interleaved"] = interleaved;
    context->saved_data["eps"] = eps;
    return run_forward(in);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const Inputs in{saved[0], saved[1],
                    saved[2], context->saved_data["interleaved"].toBool(),
                    saved[3], context->saved_data["eps"].toOptional<double>(),
                    saved[4]};
    variable_list found;
    if (at::GradMode::is_enabled()) {
      const Composed f = [&](const std::vector<Tensor>& t) -> std::vector<Tensor> {
        return {composed({t[0], in.cos, in.sin, in.interleaved, t[1], in.eps, t[2]})};
      };
      found = differentiable_gradients(f, {in.x, in.weight, in.gain}, grads);
    } else {
      found = run_backward(in, grads[0]);
    }
    return {found[0], Tensor(), Tensor(), Tensor(), found[1], Tensor(), found[2]};
  }
};

void check_vector(const Tensor& t, const char* name, int64_t size) {
  GAMUT_CHECK(!t.defined() || (t.dim() == 1 && t.size(0) == size), "rope: ", name, " must be [",
              size, "], not ", t.defined() ? t.sizes() : at::IntArrayRef());
}

void check(const Inputs& in) {
  const auto& x = in.x;
  GAMUT_CHECK(x.dim() == 4, "rope: x must be [batch, time, heads, head_dim], not ", x.sizes());
  GAMUT_CHECK(x.is_floating_point(), "rope: x must be a floating-point tensor, not ",
              x.scalar_type());
  const auto fits = [&](const Tensor& table) {
    if (table.dim() == 3 && table.size(0) != x.size(0)) return false;
    return (table.dim() == 2 || table.dim() == 3) && table.size(-2) == x.size(1) &&
           2 * table.size(-1) <= x.size(3) && table.sizes() == in.cos.sizes();
  };
  GAMUT_CHECK(
      fits(in.cos) && fits(in.sin),
      "rope: cos and sin must be [time, n] or [batch, time, n] with n at most head_dim / 2; "
      "x is ",
      x.sizes(), ", cos ", in.cos.sizes(), ", sin ", in.sin.sizes());
  GAMUT_CHECK(!in.cos.requires_grad() && !in.sin.requires_grad(),
              "rope: cos and sin are constants; detach them");
  GAMUT_CHECK(in.eps || !in.weight.defined(),
              "rope: a weight belongs to the norm; give eps as well");
  check_vector(in.weight, "weight", x.size(3));
  check_vector(in.gain, "gain", x.size(2));
}

bool has_kernel(const Inputs& in) {
  const auto& x = in.x;
  if (x.numel() == 0) return false;
  return kernels_of(in) ||
         (x.device().is_cpu() && has_element(x.scalar_type()) && x.size(3) <= kRopeMaxDim);
}

bool needs_gradient(const Inputs& in) {
  const auto needs = [](const Tensor& t) { return t.defined() && t.requires_grad(); };
  return at::GradMode::is_enabled() && (needs(in.x) || needs(in.weight) || needs(in.gain));
}

}  // namespace

Tensor rope(const Tensor& x, const Tensor& cos, const Tensor& sin, bool interleaved,
            const std::optional<Tensor>& weight, std::optional<double> eps,
            const std::optional<Tensor>& gain) {
  const Inputs in{x, cos, sin, interleaved, or_undefined(weight), eps, or_undefined(gain)};
  check(in);
  if (!has_kernel(in)) return composed(in);
  if (!needs_gradient(in)) return run_forward(in);
  return Rotary::apply(x, cos, sin, interleaved, if_defined(in.weight), eps, if_defined(in.gain));
}

}  // namespace gamut::ops
