// Cross entropy of logits, and of a linear head without ever holding all its logits.
#pragma once

#include <ATen/core/Tensor.h>

namespace gamut::ops {

// The mean over all targets but those equal to `ignore_index` of
//     log sum_i exp(z_i) - (1 - s) z_t - s mean_i z_i        z = logits, or softcap tanh(logits /
//     softcap)
// with s = label_smoothing (Szegedy et al. 2016) and softcap 0 for none (Gemma Team 2024).
//   logits [..., ids]; targets int64 [...]. Returns a scalar in float32 (float64 for float64); NaN
//   when every target is ignored. Throws gamut::Error when shapes do not fit or a target is no id;
//   on a GPU, which is not asked and so need not be waited for, such a target makes the loss NaN.
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets, int64_t ignore_index,
                         double label_smoothing, double softcap);

// The same of logits x weight^T for one head or several, whose mean it is.
//   x [..., d]; weights: of each head, [ids, d], alike; targets [...] with one head, else
//   [..., heads]. Under autocast products run in its type, else in that of x, which must be the
//   weights'. The logits exist for a few hundred rows at a time; where gradients will be asked for
//   they are computed at once, so that backward only scales them (Hsu et al. 2024, Liger Kernel).
at::Tensor linear_cross_entropy(const at::Tensor& x, at::TensorList weights,
                                const at::Tensor& targets, int64_t ignore_index,
                                double label_smoothing, double softcap);

// The same, step by step in LibTorch's operators, on any device.
at::Tensor cross_entropy_reference(const at::Tensor& logits, const at::Tensor& targets,
                                   int64_t ignore_index, double label_smoothing, double softcap);
at::Tensor linear_cross_entropy_reference(const at::Tensor& x, at::TensorList weights,
                                          const at::Tensor& targets, int64_t ignore_index,
                                          double label_smoothing, double softcap);

}  // namespace gamut::ops
