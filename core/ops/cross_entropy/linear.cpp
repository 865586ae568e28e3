// gamut::linear_cross_entropy: a few hundred rows at a time, logits, losses, and at once their
// gradients with respect to x and the weights; the logits of those rows stay in the cache.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/cross_entropy/cross_entropy.h"
#include "ops/cross_entropy/device.h"
#include "ops/cross_entropy/linear.h"
#include "ops/device.h"
#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

int64_t rows_at_once(int64_t columns, int64_t logits_at_once) {
  constexpr int64_t kMultiple = 64;
  const int64_t most = logits_at_once / columns;
  return std::max(kMultiple, (most + kMultiple / 2) / kMultiple * kMultiple);
}

void add_product(Tensor& d_weight, const Tensor& g, const Tensor& x) {
  if (g.scalar_type() == d_weight.scalar_type()) {
    d_weight.addmm_(g.t(), x);
  } else {
    d_weight.add_(at::mm(g.t(), x));
  }
}

namespace {

constexpr int64_t kLogitsAtOnce = int64_t{1} << 22;

LinearResult run_on_cpu(const LinearHead& head, bool gradients) {
  const int64_t rows = head.rows(), columns = head.columns(), heads = head.heads();
  const int64_t count =
      count_targets("linear_cross_entropy", head.targets, head.ids, head.options.ignore_index);
  const auto wide = head.x.options().dtype(sum_type(head.x));
  const int64_t block = std::min(rows, rows_at_once(columns, kLogitsAtOnce));
  const auto losses = at::empty({rows, heads}, wide);
  const auto logits = at::empty({block, columns}, head.x.options());
  LinearResult result;
  if (gradients) {
    result.dx = at::empty_like(head.x);
    result.d_weight = at::zeros(head.weight.sizes(), wide);
  }
  for (int64_t from = 0; from < rows; from += block) {
    const int64_t n = std::min(block, rows - from);
    const auto x = head.x.narrow(0, from, n);
    auto z = logits.narrow(0, 0, n);
    at::mm_out(z, x, head.weight.t());
    const auto flat = z.view({n * heads, head.ids});
    cross_entropy_rows(flat, head.targets.narrow(0, from, n).view({-1}), head.options,
                       1 / static_cast<double>(count), losses.narrow(0, from, n).view({-1}),
                       gradients ? flat : Tensor());
    if (!gradients) continue;
    auto dx = result.dx.narrow(0, from, n);
    at::mm_out(dx, z, head.weight);
    add_product(result.d_weight, z, x);
  }
  result.loss = losses.sum() / static_cast<double>(count);
  return result;
}

LinearResult run(const LinearHead& head, bool gradients) {
  if (const auto* kernels = device_kernels({head.x, head.weight})) {
    return linear_cross_entropy_on_device(*kernels, head, gradients);
  }
  return run_on_cpu(head, gradients);
}

// Inside there is no graph to record, and under autocast the types are chosen already.
struct PlainOperators {
  at::AutoDispatchBelowADInplaceOrView no_autograd;
  c10::impl::ExcludeDispatchKeyGuard no_autocast{c10::autocast_dispatch_keyset};
};

LinearHead prepare(const Tensor& x, at::TensorList weights, const Tensor& targets,
                   const CrossEntropyOptions& options, at::ScalarType type) {
  const int64_t heads = static_cast<int64_t>(weights.size()), ids = weights[0].size(0);
  return {x.reshape({-1, x.size(-1)}).to(type).contiguous(),
          (heads == 1 ? weights[0] : at::cat(weights)).to(type).contiguous(),
          targets.reshape({-1, heads}).contiguous(), options, ids};
}

struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& x, at::TensorList weights,
                        const Tensor& targets, const CrossEntropyOptions& options,
                        at::ScalarType type) {
    const PlainOperators guard;
    const auto result = run(prepare(x, weights, targets, options, type), true);
    const bool is_whole = !result.count.defined();
    context->save_for_backward(
        {result.dx.view(x.sizes()).to(x.scalar_type()),
         is_whole ? result.d_weight.to(weights[0].scalar_type()) : result.d_weight, result.count});
    context->saved_data["type"] = weights[0].scalar_type();
    context->saved_data["heads"] = static_cast<int64_t>(weights.size());
    return result.loss;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    GAMUT_CHECK(
        !at::GradMode::is_enabled(),
        "linear_cross_entropy has no second derivative: its gradients are computed with the "
        "loss; call backward without create_graph, or use cross_entropy on the logits");
    const auto saved = context->get_saved_variables();
    variable_list result;
    Tensor d_weight;
    if (saved[2].defined()) {
      const auto factor = grads[0].to(at::kFloat) / saved[2];
      result = {times(saved[0], factor)};
      d_weight = times(saved[1], factor).to(context->saved_data["type"].toScalarType());
    } else {
      const double factor = grads[0].item<double>();
      result = {factor == 1 ? saved[0] : saved[0] * factor};
      d_weight = saved[1] * factor;
    }
    // Parts of one tensor: autograd takes them as they are for the gradients of leaves, which
    // others change in place, so the one that is kept for a second pass must not be it.
    for (auto& part : d_weight.chunk(context->saved_data["heads"].toInt())) {
      result.push_back(part);
    }
    result.resize(result.size() + 3);
    return result;
  }
};

void check(const Tensor& x, at::TensorList weights, const Tensor& targets, at::ScalarType type) {
  const char* name = "linear_cross_entropy";
  GAMUT_CHECK(!weights.empty(), name, ": weights is empty; it takes one [ids, d] matrix a head");
  GAMUT_CHECK(x.dim() > 0, name, ": x must be [..., d]; it has no dimension");
  for (const Tensor& weight : weights) {
    GAMUT_CHECK(weight.dim() == 2 && weight.sizes() == weights[0].sizes() &&
                    weight.size(1) == x.size(-1) && weight.size(0) > 0,
                name, ": every weight must be [ids, ", x.size(-1), "], as the last dimension of x ",
                x.sizes(), ", all alike; one is ", weight.sizes());
    GAMUT_CHECK(weight.scalar_type() == weights[0].scalar_type(), name,
                ": weights must have one type; they are ", weights[0].scalar_type(), " and ",
                weight.scalar_type());
    GAMUT_CHECK(type != x.scalar_type() || weight.scalar_type() == x.scalar_type() ||
                    at::autocast::is_autocast_enabled(x.device().type()),
                name, ": x is ", x.scalar_type(), ", the weights are ", weight.scalar_type(),
                "; convert one of them or use autocast");
  }
  auto wanted = x.sizes().slice(0, x.dim() - 1).vec();
  if (weights.size() > 1) wanted.push_back(static_cast<int64_t>(weights.size()));
  GAMUT_CHECK(targets.scalar_type() == at::kLong && targets.sizes() == wanted &&
                  targets.device() == x.device(),
              name, ": targets must be int64 ", at::IntArrayRef(wanted), " on ", x.device(),
              "; they are ", targets.scalar_type(), " ", targets.sizes(), " on ", targets.device());
}

}  // namespace

Tensor linear_cross_entropy(const Tensor& x, at::TensorList weights, const Tensor& targets,
                            int64_t ignore_index, double label_smoothing, double softcap) {
  const CrossEntropyOptions options{ignore_index, label_smoothing, softcap};
  const auto device = x.device().type();
  const bool cast = at::autocast::is_autocast_enabled(device) && x.scalar_type() != at::kDouble;
  const auto type = cast ? at::autocast::get_autocast_dtype(device) : x.scalar_type();
  check_options("linear_cross_entropy", options);
  check(x, weights, targets, type);
  const bool fused = has_device_element(type) && cuda::kernels_for(x.device());
  if (!(fused || (x.device().is_cpu() && has_element(type))) || x.numel() == 0) {
    return linear_cross_entropy_reference(x, weights, targets, ignore_index, label_smoothing,
                                          softcap);
  }
  bool recorded = x.requires_grad();
  for (const Tensor& weight : weights) recorded = recorded || weight.requires_grad();
  if (recorded && at::GradMode::is_enabled()) {
    return LinearCrossEntropy::apply(x, weights, targets, options, type);
  }
  const PlainOperators guard;
  return run(prepare(x, weights, targets, options, type), false).loss;
}

}  // namespace gamut::ops
