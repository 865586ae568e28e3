// L2 normalisation of queries and keys, and the gated RMS norm of the output.
#include "norms.h"

#include <ATen/ATen.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

namespace gamut::gdn {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

Tensor row_sum(const Tensor& a, const Tensor& b) {
  return (a * b).sum(-1, /*keepdim=*/true);
}

void check_first_derivative(const char* what) {
  GAMUT_CHECK(!at::GradMode::is_enabled(), what,
              " has no second derivative; call backward without create_graph");
}

struct L2Normalize : torch::autograd::Function<L2Normalize> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, double eps) {
    auto scale = row_sum(x, x).add_(eps).rsqrt_();
    auto y = x * scale;
    ctx->save_for_backward({y, scale});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    check_first_derivative("L2 normalisation");
    const auto saved = ctx->get_saved_variables();
    const auto &y = saved[0], &scale = saved[1], &dy = grads[0];
    return {at::addcmul(dy, y, row_sum(dy, y), -1).mul_(scale), {}};
  }
};

struct GatedRmsNorm : torch::autograd::Function<GatedRmsNorm> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& gate, double eps) {
    auto scale = row_sum(x, x).div_(x.size(-1)).add_(eps).rsqrt_();
    auto y = (x * scale).mul_(weight);
    if (gate) y.mul_(at::silu(*gate));
    ctx->save_for_backward({x, weight, gate.value_or(Tensor()), scale});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    check_first_derivative("the gated RMS norm");
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &gate = saved[2], &scale = saved[3];
    const auto normal = x * scale;
    auto dy = grads[0];
    Tensor d_gate;
    if (gate.defined()) {
      d_gate = at::silu_backward((dy * normal).mul_(weight), gate);
      dy = dy * at::silu(gate);
    }
    auto dims = std::vector<int64_t>(x.dim() - 1);
    for (size_t i = 0; i < dims.size(); ++i) dims[i] = static_cast<int64_t>(i);
    const auto d_weight = (dy * normal).sum(dims);
    auto dx = dy * weight;
    dx.addcmul_(normal, row_sum(dx, normal).div_(x.size(-1)), -1).mul_(scale);
    return {dx, d_weight, d_gate, {}};
  }
};

}  // namespace

Tensor l2_normalize(const Tensor& x, double eps) {
  return L2Normalize::apply(x, eps);
}

Tensor gated_rms_norm(const Tensor& x, const Tensor& weight, const Tensor& gate, double eps) {
  const auto given = gate.defined() ? std::optional<Tensor>(gate) : std::nullopt;
  return GatedRmsNorm::apply(x, weight, given, eps);
}

}  // namespace gamut::gdn
