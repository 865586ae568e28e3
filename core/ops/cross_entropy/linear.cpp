// gamut::linear_cross_entropy: a few hundred rows at a time, logits, losses, and at once their
// gradients with respect to x and the weights; the logits of those rows stay in the cache.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/cross_entropy/cross_entropy.h"
#include "ops/cross_entropy/rows.h"
#include "ops/rows.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kLogitsAtOnce = int64_t{1} << 22;
constexpr int64_t kMultiple = 64;  // of rows at once: products like it

struct Head {
  Tensor x;        // [rows, d]
  Tensor weight;   // [heads * ids, d], in the type of x
  Tensor targets;  // [rows, heads]
  CrossEntropyOptions options;
  int64_t ids, count;
};

struct Result {
  Tensor loss, dx, d_weight;  // gradients of the loss, d_weight in the type of sums; or undefined
};

int64_t rows_at_once(int64_t columns) {
  const int64_t most = kLogitsAtOnce / columns;
  return std::max(kMultiple, (most + kMultiple / 2) / kMultiple * kMultiple);
}

// d_weight += g^T x. In half the bits the products of a block are rounded, their sum is not.
void add_product(Tensor& d_weight, const Tensor& g, const Tensor& x) {
  if (g.scalar_type() == d_weight.scalar_type()) {
    d_weight.addmm_(g.t(), x);
  } else {
    d_weight.add_(at::mm(g.t(), x));
  }
}

Result run(const Head& head, bool gradients) {
  const int64_t rows = head.x.size(0), columns = head.weight.size(0), heads = columns / head.ids;
  const auto wide = head.x.options().dtype(sum_type(head.x));
  const int64_t block = std::min(rows, rows_at_once(columns));
  const auto losses = at::empty({rows, heads}, wide);
  const auto logits = at::empty({block, columns}, head.x.options());
  Result result;
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
                       1 / static_cast<double>(head.count), losses.narrow(0, from, n).view({-1}),
                       gradients ? flat : Tensor());
    if (!gradients) continue;
    auto dx = result.dx.narrow(0, from, n);
    at::mm_out(dx, z, head.weight);
    add_product(result.d_weight, z, x);
  }
  result.loss = losses.sum() / static_cast<double>(head.count);
  return result;
}

// Inside there is no graph to record, and under autocast the types are chosen already.
struct PlainOperators {
  at::AutoDispatchBelowADInplaceOrView no_autograd;
  c10::impl::ExcludeDispatchKeyGuard no_autocast{c10::autocast_dispatch_keyset};
};

Head prepare(const Tensor& x, at::TensorList weights, const Tensor& targets,
             const CrossEntropyOptions& options, at::ScalarType type) {
  const int64_t heads = static_cast<int64_t>(weights.size()), ids = weights[0].size(0);
  Head head{x.reshape({-1, x.size(-1)}).to(type).contiguous(),
            (heads == 1 ? weights[0] : at::cat(weights)).to(type).contiguous(),
            targets.reshape({-1, heads}).contiguous(),
            options,
            ids,
            0};
  head.count = count_targets("linear_cross_entropy", head.targets, ids, options.ignore_index);
  return head;
}

struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& x, at::TensorList weights,
                        const Tensor& targets, const CrossEntropyOptions& options,
                        at::ScalarType type) {
    const PlainOperators guard;
    const auto result = run(prepare(x, weights, targets, options, type), true);
    context->save_for_backward({result.dx.view(x.sizes()).to(x.scalar_type()),
                                result.d_weight.to(weights[0].scalar_type())});
    context->saved_data["heads"] = static_cast<int64_t>(weights.size());
    return result.loss;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    GAMUT_CHECK(
        !at::GradMode::is_enabled(),
        "linear_cross_entropy has no second derivative: its gradients are computed with the "
        "loss; call backward without create_graph, or use cross_entropy on the logits");
    const auto saved = context->get_saved_variables();
    const double factor = grads[0].item<double>();
    variable_list result{factor == 1 ? saved[0] : saved[0] * factor};
    // Parts of one tensor: autograd takes them as they are for the gradients of leaves, which
    // others change in place, so the one that is kept for a second pass must not be it.
    for (auto& part : (saved[1] * factor).chunk(context->saved_data["heads"].toInt())) {
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
  GAMUT_CHECK(targets.scalar_type() == at::kLong && targets.sizes() == wanted, name,
              ": targets must be int64 ", at::IntArrayRef(wanted), "; they are ",
              targets.scalar_type(), " ", targets.sizes());
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
  if (!x.device().is_cpu() || !has_element(type) || x.numel() == 0) {
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
