// gamut::cross_entropy: checks, autograd, and the division of the rows among threads. Only logits
// and targets are kept for the backward pass; there is no wider copy of the logits.
#include "ops/cross_entropy/cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/cross_entropy/device.h"
#include "ops/cross_entropy/kernel.h"
#include "ops/cross_entropy/rows.h"
#include "ops/device.h"
#include "ops/double_backward.h"
#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check_options(const char* name, const CrossEntropyOptions& options) {
  GAMUT_CHECK(options.label_smoothing >= 0 && options.label_smoothing < 1, name,
              ": label_smoothing must lie in [0, 1), not ", options.label_smoothing);
  GAMUT_CHECK(options.softcap >= 0, name, ": softcap must be above 0, or 0 for none, not ",
              options.softcap);
}

int64_t count_targets(const char* name, const Tensor& targets, int64_t ids, int64_t ignore_index) {
  const auto* target = targets.const_data_ptr<int64_t>();
  int64_t count = 0;
  for (int64_t i = 0; i < targets.numel(); ++i) {
    if (target[i] == ignore_index) continue;
    GAMUT_CHECK(target[i] >= 0 && target[i] < ids, name, ": target ", target[i],
                " is neither an id below ", ids, " nor ignore_index = ", ignore_index);
    ++count;
  }
  return count;
}

void cross_entropy_rows(const Tensor& logits, const Tensor& targets,
                        const CrossEntropyOptions& options, double factor, const Tensor& losses,
                        const Tensor& gradient) {
  CrossEntropyArguments all{};
  all.element = element_of(logits);
  all.ids = logits.size(1);
  all.logits = logits.const_data_ptr();
  all.targets = targets.const_data_ptr<int64_t>();
  all.ignore_index = options.ignore_index;
  all.label_smoothing = options.label_smoothing;
  all.softcap = options.softcap;
  all.factor = factor;
  all.losses = data_or_null_mutable(losses);
  all.gradient = data_or_null_mutable(gradient);
  at::parallel_for(0, logits.size(0), std::max<int64_t>(1, 16384 / all.ids),
                   [&](int64_t from, int64_t to) {
                     std::vector<double> scratch(all.ids + 16);
                     auto a = all;
                     a.begin = from;
                     a.end = to;
                     a.scratch = scratch.data();
                     cross_entropy(a);
                   });
}

namespace {

// Rows of logits with their targets, as the kernels take them.
struct Flat {
  Tensor logits, targets;

  Flat(const Tensor& given, const Tensor& of)
      : logits(given.reshape({-1, given.size(-1)}).contiguous()),
        targets(of.reshape({-1}).contiguous()) {}

  int64_t count(int64_t ignore_index) const {
    return count_targets("cross_entropy", targets, logits.size(1), ignore_index);
  }
};

Tensor mean_loss(const Flat& flat, const CrossEntropyOptions& options) {
  if (const auto* kernels = device_kernels({flat.logits})) {
    return cross_entropy_on_device(*kernels, flat.logits, flat.targets, options, false).loss;
  }
  const auto count = flat.count(options.ignore_index);
  const auto losses =
      at::empty({flat.targets.numel()}, flat.logits.options().dtype(sum_type(flat.logits)));
  cross_entropy_rows(flat.logits, flat.targets, options, 0, losses, Tensor());
  return losses.sum() / static_cast<double>(count);
}

// `kept` is what the forward pass on a device kept.
Tensor gradient_of(const Flat& flat, const CrossEntropyOptions& options,
                   const DeviceCrossEntropy& kept, const Tensor& d_loss) {
  if (kept.count.defined()) {
    const auto* kernels = device_kernels({flat.logits});
    return cross_entropy_gradient_on_device(*kernels, flat.logits, flat.targets, options, kept,
                                            d_loss);
  }
  const auto gradient = at::empty_like(flat.logits);
  const double factor =
      d_loss.item<double>() / static_cast<double>(flat.count(options.ignore_index));
  cross_entropy_rows(flat.logits, flat.targets, options, factor, Tensor(), gradient);
  return gradient;
}

struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& logits, const Tensor& targets,
                        const CrossEntropyOptions& options) {
    const Flat flat(logits, targets);
    DeviceCrossEntropy on_device;
    if (const auto* kernels = device_kernels({logits})) {
      on_device =
          cross_entropy_on_device(*kernels, flat.logits, flat.targets, options, /*keep=*/true);
    }
    context->save_for_backward({logits, targets, on_device.normalizers, on_device.count});
    auto& kept = context->saved_data;
    kept["ignore_index"] = options.ignore_index;
    kept["label_smoothing"] = options.label_smoothing;
    kept["softcap"] = options.softcap;
    return on_device.loss.defined() ? on_device.loss : mean_loss(flat, options);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const auto saved = context->get_saved_variables();
    auto& kept = context->saved_data;
    const CrossEntropyOptions options{kept["ignore_index"].toInt(),
                                      kept["label_smoothing"].toDouble(),
                                      kept["softcap"].toDouble()};
    variable_list result;
    if (at::GradMode::is_enabled()) {
      const Composed f = [&](const std::vector<Tensor>& t) -> std::vector<Tensor> {
        return {cross_entropy_reference(t[0], saved[1], options.ignore_index,
                                        options.label_smoothing, options.softcap)};
      };
      result = differentiable_gradients(f, {saved[0]}, grads);
    } else {
      const auto gradient =
          gradient_of(Flat(saved[0], saved[1]), options, {Tensor(), saved[2], saved[3]}, grads[0]);
      result = {gradient.view(saved[0].sizes())};
    }
    result.resize(3);
    return result;
  }
};

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& targets, int64_t ignore_index,
                     double label_smoothing, double softcap) {
  const CrossEntropyOptions options{ignore_index, label_smoothing, softcap};
  check_options("cross_entropy", options);
  GAMUT_CHECK(logits.dim() > 0 && logits.size(-1) > 0 &&
                  targets.sizes() == logits.sizes().slice(0, logits.dim() - 1),
              "cross_entropy: targets must be ",
              logits.dim() > 0 ? logits.sizes().slice(0, logits.dim() - 1) : logits.sizes(),
              ", as logits ", logits.sizes(), " without their last dimension; they are ",
              targets.sizes());
  GAMUT_CHECK(targets.scalar_type() == at::kLong && targets.device() == logits.device(),
              "cross_entropy: targets must be int64 on ", logits.device(), ", as the logits; not ",
              targets.scalar_type(), " on ", targets.device());
  const bool fused =
      device_kernels({logits}) || (logits.device().is_cpu() && has_element(logits.scalar_type()));
  if (!fused || logits.numel() == 0) {
    return cross_entropy_reference(logits, targets, ignore_index, label_smoothing, softcap);
  }
  if (!at::GradMode::is_enabled() || !logits.requires_grad()) {
    return mean_loss(Flat(logits, targets), options);
  }
  return CrossEntropy::apply(logits, targets, options);
}

}  // namespace gamut::ops
