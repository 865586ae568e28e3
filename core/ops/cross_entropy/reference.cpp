// Cross entropy by its definition: what tests compare with, and the way of other devices and types.
#include <ATen/ATen.h>

#include "ops/cross_entropy/cross_entropy.h"

namespace gamut::ops {

using at::Tensor;

Tensor cross_entropy_reference(const Tensor& logits, const Tensor& targets, int64_t ignore_index,
                               double label_smoothing, double softcap) {
  Tensor z = logits.to(logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  if (softcap > 0) z = softcap * (z / softcap).tanh();
  const auto counts = targets.ne(ignore_index);
  const auto of_target =
      z.gather(-1, targets.where(counts, at::zeros_like(targets)).unsqueeze(-1)).squeeze(-1);
  const auto losses =
      z.logsumexp(-1) - (1 - label_smoothing) * of_target - label_smoothing * z.mean(-1);
  return losses.where(counts, at::zeros_like(losses)).sum() / counts.sum();
}

Tensor linear_cross_entropy_reference(const Tensor& x, at::TensorList weights,
                                      const Tensor& targets, int64_t ignore_index,
                                      double label_smoothing, double softcap) {
  std::vector<Tensor> logits;
  for (const Tensor& weight : weights) logits.push_back(at::linear(x, weight));
  const auto all = weights.size() == 1 ? logits[0] : at::stack(logits, -2);
  return cross_entropy_reference(all, targets, ignore_index, label_smoothing, softcap);
}

}  // namespace gamut::ops
