// gamut::swiglu and gamut::relu_squared: checks, autograd, and the division of the rows among
// threads. Only the inputs are kept for the backward pass.
#include "ops/activation/activation.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/activation/device.h"
#include "ops/activation/kernel.h"
#include "ops/device.h"
#include "ops/double_backward.h"
#include "ops/rows.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kTaskElements = 16384;

// The inputs as the kernel takes them, kept alive.
struct Prepared {
  Rows x, up;
  int64_t rows;
  ActivationArguments arguments{};

  Prepared(Activation kind, const Tensor& gate, const Tensor& other) : x(rows_of(gate)) {
    auto& a = arguments;
    a.kind = kind;
    a.element = element_of(gate);
    a.d = gate.size(-1);
    a.x = x.data();
    a.x_stride = x.stride;
    rows = gate.numel() / a.d;
    if (!other.defined()) return;
    up = rows_of(other);
    a.up = up.data();
    a.up_stride = up.stride;
  }

  void run(void (*kernel)(const ActivationArguments&)) const {
    const int64_t grain = std::max<int64_t>(1, kTaskElements / arguments.d);
    at::parallel_for(0, rows, grain, [&](int64_t from, int64_t to) {
      auto a = arguments;
      a.begin = from;
      a.end = to;
      kernel(a);
    });
  }
};

Tensor run_forward(Activation kind, const Tensor& x, const Tensor& up) {
  if (const auto* kernels = device_kernels({x, up})) return activate_on_device(*kernels, x, up);
  Prepared prepared(kind, x, up);
  const auto y = at::empty(x.sizes(), x.options());
  prepared.arguments.y = y.mutable_data_ptr();
  prepared.run(activation_forward);
  return y;
}

variable_list run_backward(Activation kind, const Tensor& x, const Tensor& up,
                           const Tensor& given) {
  if (const auto* kernels = device_kernels({x, up})) {
    const auto [dx, d_up] = activation_gradients_on_device(*kernels, x, up, given);
    return {dx, d_up};
  }
  Prepared prepared(kind, x, up);
  auto& a = prepared.arguments;
  const auto dy = rows_of(given.to(x.scalar_type()));
  const auto dx = at::empty(x.sizes(), x.options());
  const auto d_up = up.defined() ? at::empty(x.sizes(), x.options()) : Tensor();
  a.dy = dy.data();
  a.dy_stride = dy.stride;
  a.dx = dx.mutable_data_ptr();
  a.d_up = data_or_null_mutable(d_up);
  prepared.run(activation_backward);
  return {dx, d_up};
}

Tensor composed(Activation kind, const Tensor& x, const Tensor& up) {
  return kind == Activation::swiglu ? swiglu_reference(x, up) : relu_squared_reference(x);
}

struct Activate : torch::autograd::Function<Activate> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const std::optional<Tensor>& up,
                        Activation kind) {
    context->save_for_backward({x, or_undefined(up)});
    context->saved_data["kind"] = static_cast<int64_t>(kind);
    return run_forward(kind, x, or_undefined(up));
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto kind = static_cast<Activation>(context->saved_data["kind"].toInt());
    variable_list result;
    if (at::GradMode::is_enabled()) {
      const Composed f = [kind](const std::vector<Tensor>& t) -> std::vector<Tensor> {
        return {composed(kind, t[0], t[1])};
      };
      result = differentiable_gradients(f, {saved[0], saved[1]}, grads);
    } else {
      result = run_backward(kind, saved[0], saved[1], grads[0]);
    }
    result.resize(3);
    return result;
  }
};

Tensor activate(Activation kind, const Tensor& x, const Tensor& up) {
  const bool fused =
      device_kernels({x, up}) || (x.device().is_cpu() && has_element(x.scalar_type()));
  if (!fused || x.numel() == 0) return composed(kind, x, up);
  const bool recorded =
      at::GradMode::is_enabled() && (x.requires_grad() || (up.defined() && up.requires_grad()));
  if (!recorded) return run_forward(kind, x, up);
  return Activate::apply(x, if_defined(up), kind);
}

}  // namespace

Tensor swiglu(const Tensor& gate, const Tensor& up) {
  GAMUT_CHECK(gate.dim() > 0 && gate.sizes() == up.sizes(),
              "swiglu: gate and up must have one shape, with a dimension at least; they are ",
              gate.sizes(), " and ", up.sizes());
  GAMUT_CHECK(gate.scalar_type() == up.scalar_type() && gate.device() == up.device(),
              "swiglu: gate and up must be alike; they are ", gate.scalar_type(), " on ",
              gate.device(), " and ", up.scalar_type(), " on ", up.device());
  GAMUT_CHECK(gate.is_floating_point(), "swiglu: gate and up must be floating-point tensors, not ",
              gate.scalar_type());
  return activate(Activation::swiglu, gate, up);
}

Tensor relu_squared(const Tensor& x) {
  if (x.dim() == 0) return relu_squared_reference(x);
  return activate(Activation::relu_squared, x, Tensor());
}

}  // namespace gamut::ops
