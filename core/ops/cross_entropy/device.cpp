#include "ops/cross_entropy/device.h"

#include <ATen/ATen.h>

#include "ops/device.h"
#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;

namespace {

cuda::CrossEntropyArgs arguments_of(const Tensor& logits, const Tensor& targets,
                                    const CrossEntropyOptions& options) {
  cuda::CrossEntropyArgs args{};
  args.element = device_element(logits);
  args.rows = logits.size(0);
  args.ids = logits.size(1);
  args.logits = logits.const_data_ptr();
  args.targets = targets.const_data_ptr<int64_t>();
  args.ignore_index = options.ignore_index;
  args.label_smoothing = static_cast<float>(options.label_smoothing);
  args.softcap = static_cast<float>(options.softcap);
  args.scale = 1;
  return args;
}

Tensor count_of(const Tensor& targets, int64_t ignore_index) {
  return targets.ne(ignore_index).sum();
}

// Where gradients of single logits, of about 1 / ids, would be rounded to zero if they were divided
// by the count at once, so that this is done last; and where sums over all rows must not overflow.
float scale_of(at::ScalarType type) {
  return type == at::kHalf ? 0x1p-6F : 1.0F;
}

}  // namespace

DeviceCrossEntropy cross_entropy_on_device(const cuda::KernelTable& kernels, const Tensor& logits,
                                           const Tensor& targets,
                                           const CrossEntropyOptions& options, bool keep) {
  DeviceCrossEntropy result;
  const auto losses = at::empty({logits.size(0)}, logits.options().dtype(at::kFloat));
  auto args = arguments_of(logits, targets, options);
  args.losses = losses.mutable_data_ptr<float>();
  if (keep) {
    result.normalizers = at::empty_like(losses);
    args.normalizers = result.normalizers.mutable_data_ptr<float>();
  }
  call(kernels.cross_entropy_rows, args, logits, "cross_entropy");
  result.count = count_of(targets, options.ignore_index);
  result.loss = losses.sum() / result.count;
  return result;
}

Tensor cross_entropy_gradient_on_device(const cuda::KernelTable& kernels, const Tensor& logits,
                                        const Tensor& targets, const CrossEntropyOptions& options,
                                        const DeviceCrossEntropy& kept, const Tensor& d_loss) {
  // The kernel reads and writes packs that lie alike.
  constexpr uintptr_t kPack = 16;
  const bool aligned = reinterpret_cast<uintptr_t>(logits.const_data_ptr()) % kPack == 0;
  const Tensor rows = aligned ? logits : logits.clone();
  const auto gradient = at::empty(rows.sizes(), rows.options());
  const auto factor = d_loss.to(at::kFloat);
  auto args = arguments_of(rows, targets, options);
  args.normalizers = kept.normalizers.mutable_data_ptr<float>();
  args.gradient = gradient.mutable_data_ptr();
  args.d_loss = factor.const_data_ptr<float>();
  args.count = kept.count.const_data_ptr<int64_t>();
  call(kernels.cross_entropy_rows, args, logits, "cross_entropy");
  return gradient;
}

LinearResult linear_cross_entropy_on_device(const cuda::KernelTable& kernels,
                                            const LinearHead& head, bool gradients,
                                            int64_t logits_at_once) {
  const int64_t rows = head.rows(), columns = head.columns(), heads = head.heads();
  const auto wide = head.x.options().dtype(at::kFloat);
  const int64_t block = std::min(rows, rows_at_once(columns, logits_at_once));
  const auto losses = at::empty({rows, heads}, wide);
  const auto logits = at::empty({block, columns}, head.x.options());
  const float scale = scale_of(head.x.scalar_type());
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
    auto args =
        arguments_of(z.view({n * heads, head.ids}), head.targets.narrow(0, from, n), head.options);
    args.losses = losses.mutable_data_ptr<float>() + from * heads;
    args.gradient = gradients ? z.mutable_data_ptr() : nullptr;
    args.scale = scale;
    call(kernels.cross_entropy_rows, args, z, "linear_cross_entropy");
    if (!gradients) continue;
    auto dx = result.dx.narrow(0, from, n);
    at::mm_out(dx, z, head.weight);
    add_product(result.d_weight, z, x);
  }
  const auto count = count_of(head.targets, head.options.ignore_index);
  result.loss = losses.sum() / count;
  if (gradients) result.count = count.to(at::kFloat).mul_(scale);
  return result;
}

Tensor times(const Tensor& x, const Tensor& factor) {
  if (x.scalar_type() == at::kFloat) return x * factor;
  auto product = at::empty_like(x);
  return at::mul_out(product, x.to(at::kFloat), factor);
}

}  // namespace gamut::ops
