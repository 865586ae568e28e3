// gamut::linears: checks, autocast, autograd, and the pass over the weights for a few rows.
#include "ops/linears/linears.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "ops/linears/kernel.h"
#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

constexpr int64_t kFewRows = 8;
constexpr int64_t kTaskElements = 1 << 16;  // of a weight: a fair share of a microsecond or ten

Tensor as_rows(const Tensor& x) {
  return x.reshape({-1, x.size(-1)});
}

std::vector<int64_t> output_shape(const Tensor& x, const Tensor& weight) {
  auto shape = x.sizes().vec();
  shape.back() = weight.size(0);
  return shape;
}

struct Linears : torch::autograd::Function<Linears> {
  static variable_list forward(AutogradContext* context, const Tensor& x, at::TensorList weights) {
    variable_list kept = {x}, outputs;
    kept.insert(kept.end(), weights.begin(), weights.end());
    context->save_for_backward(kept);
    context->set_materialize_grads(false);
    for (const auto& weight : weights) outputs.push_back(at::linear(x, weight));
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    // Types are chosen already, and a sum in place keeps its own.
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const auto saved = context->get_saved_variables();
    const auto x = as_rows(saved[0]);
    Tensor dx;
    variable_list result(saved.size());
    for (size_t i = 0; i < grads.size(); ++i) {
      if (!grads[i].defined()) continue;
      const auto dy = as_rows(grads[i]);
      const auto& weight = saved[i + 1];
      if (context->needs_input_grad(0)) {
        dx.defined() ? dx.addmm_(dy, weight) : dx = dy.mm(weight);
      }
      if (context->needs_input_grad(i + 1)) result[i + 1] = dy.t().mm(x);
    }
    if (dx.defined()) result[0] = dx.view(saved[0].sizes());
    return result;
  }
};

void check(const Tensor& x, at::TensorList weights) {
  GAMUT_CHECK(x.dim() > 0 && !weights.empty(), "linears needs x [..., k] and weights [n, k]");
  for (const auto& weight : weights) {
    GAMUT_CHECK(weight.dim() == 2 && weight.size(1) == x.size(-1), "linears: x is ", x.sizes(),
                ", so that weights must be [n, ", x.size(-1), "]; one is ", weight.sizes());
    GAMUT_CHECK(weight.scalar_type() == x.scalar_type() && weight.device() == x.device(),
                "linears: x is ", x.scalar_type(), " on ", x.device(), " and a weight is ",
                weight.scalar_type(), " on ", weight.device(), "; convert one of them");
  }
}

bool has_few_rows(const Tensor& x, at::TensorList weights) {
  const auto fits = [](const Tensor& t) {
    return t.device().is_cpu() && t.is_contiguous() &&
           (t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16);
  };
  const int64_t size = x.size(-1);
  return size > 0 && x.numel() > 0 && x.numel() <= kFewRows * size && fits(x) &&
         std::all_of(weights.begin(), weights.end(), fits);
}

std::vector<Tensor> by_few_rows(const Tensor& x, at::TensorList weights) {
  const int64_t size = x.size(-1), block = std::max<int64_t>(1, kTaskElements / size);
  std::vector<Tensor> outputs;
  std::vector<FewRowsArguments> tasks;
  for (const auto& weight : weights) {
    outputs.push_back(at::empty(output_shape(x, weight), x.options()));
    FewRowsArguments a{};
    a.element = element_of(x);
    a.x = x.const_data_ptr();
    a.rows = x.numel() / size;
    a.size = size;
    a.weight = weight.const_data_ptr();
    a.y = outputs.back().mutable_data_ptr();
    a.outputs = weight.size(0);
    for (a.begin = 0; a.begin < a.outputs; a.begin = a.end) {
      a.end = std::min(a.outputs, a.begin + block);
      tasks.push_back(a);
    }
  }
  at::parallel_for(0, static_cast<int64_t>(tasks.size()), 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) few_rows(tasks[i]);
  });
  return outputs;
}

}  // namespace

std::vector<Tensor> linears(const Tensor& given, at::TensorList given_weights) {
  Tensor x = given;
  std::vector<Tensor> weights = given_weights.vec();
  if (const auto device = x.device().type(); at::autocast::is_autocast_enabled(device)) {
    const auto type = at::autocast::get_autocast_dtype(device);
    x = at::autocast::cached_cast(type, x, device);
    for (auto& weight : weights) weight = at::autocast::cached_cast(type, weight, device);
  }
  check(x, weights);
  const bool differentiates =
      at::GradMode::is_enabled() &&
      (x.requires_grad() || std::any_of(weights.begin(), weights.end(),
                                        [](const Tensor& w) { return w.requires_grad(); }));
  if (differentiates) return Linears::apply(x, at::TensorList(weights));
  if (has_few_rows(x, weights)) return by_few_rows(x, weights);
  return linears_reference(x, weights);
}

std::vector<Tensor> linears_reference(const Tensor& x, at::TensorList weights) {
  std::vector<Tensor> outputs;
  for (const auto& weight : weights) outputs.push_back(at::linear(x, weight));
  return outputs;
}

}  // namespace gamut::ops
