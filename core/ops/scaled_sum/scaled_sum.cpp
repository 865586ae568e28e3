// gamut::scaled_sum: checks and autograd. Without a kernel for the device it is LibTorch's
// operators.
#include "ops/scaled_sum/scaled_sum.h"

#include <ATen/ATen.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/device.h"
#include "ops/double_backward.h"
#include "ops/rows.h"
#include "ops/scaled_sum/device.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const cuda::KernelTable* kernels_of(const ScaledSumInputs& in) {
  return in.x.numel() > 0 ? device_kernels({in.x, in.y, in.a, in.b}) : nullptr;
}

Tensor composed(const ScaledSumInputs& in) {
  return scaled_sum_reference(in.x, in.y, if_defined(in.a), if_defined(in.b));
}

struct ScaledSum : torch::autograd::Function<ScaledSum> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& y,
                        const std::optional<Tensor>& a, const std::optional<Tensor>& b) {
    const ScaledSumInputs in{x, y, or_undefined(a), or_undefined(b)};
    context->save_for_backward({x, y, in.a, in.b});
    return scaled_sum_on_device(*kernels_of(in), in);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const ScaledSumInputs in{saved[0], saved[1], saved[2], saved[3]};
    if (at::GradMode::is_enabled()) {
      const Composed f = [](const std::vector<Tensor>& t) -> std::vector<Tensor> {
        return {composed({t[0], t[1], t[2], t[3]})};
      };
      return differentiable_gradients(f, saved, grads);
    }
    const auto d = scaled_sum_gradients_on_device(
        *kernels_of(in), in, grads[0], context->needs_input_grad(0), context->needs_input_grad(1));
    return {d.x, d.y, d.a, d.b};
  }
};

void check_weight(const Tensor& weight, const char* name, const Tensor& x) {
  GAMUT_CHECK(!weight.defined() || (weight.dim() == 1 && weight.size(0) == x.size(-1)),
              "scaled_sum: ", name, " must be [", x.size(-1), "], as the last dimension of x ",
              x.sizes(), "; it is ", weight.defined() ? weight.sizes() : at::IntArrayRef());
}

bool needs_gradient(const ScaledSumInputs& in) {
  const auto needs = [](const Tensor& t) { return t.defined() && t.requires_grad(); };
  return at::GradMode::is_enabled() && (needs(in.x) || needs(in.y) || needs(in.a) || needs(in.b));
}

}  // namespace

Tensor scaled_sum(const Tensor& x, const Tensor& y, const std::optional<Tensor>& a,
                  const std::optional<Tensor>& b) {
  GAMUT_CHECK(x.dim() > 0 && x.sizes() == y.sizes() && x.scalar_type() == y.scalar_type(),
              "scaled_sum: x and y must be alike, with a dimension at least; they are ",
              x.scalar_type(), " ", x.sizes(), " and ", y.scalar_type(), " ", y.sizes());
  const ScaledSumInputs in{x, y, or_undefined(a), or_undefined(b)};
  check_weight(in.a, "a", x);
  check_weight(in.b, "b", x);
  const auto* kernels = kernels_of(in);
  if (!kernels) return composed(in);
  if (!needs_gradient(in)) return scaled_sum_on_device(*kernels, in);
  return ScaledSum::apply(x, y, if_defined(in.a), if_defined(in.b));
}

}  // namespace gamut::ops
