// Causal depthwise convolution over a few steps, with carried context and packed documents.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/documents.h>

namespace gamut::gdn {

// y_t = sum_j weight_j x_{t - (width - 1) + j}, channel by channel, within each document.
//   x        [batch, time, channels], float32 or float64
//   weight   [channels, 1, width], as torch.nn.Conv1d keeps it; same dtype
//   context  [batch, width - 1, channels]: what came before the first document of each row;
//            undefined: zeros
// Differentiable once in all three.
at::Tensor short_conv(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& context,
                      const Documents& documents);

// The same in whole-tensor operations: what devices without a loop of their own use.
at::Tensor short_conv_composite(const at::Tensor& x, const at::Tensor& weight,
                                const at::Tensor& context, const Documents& documents);

// The context for what follows: the last width - 1 steps of each row's last document, after zeros
// or `context` where it is shorter than that.
at::Tensor next_conv_context(const at::Tensor& x, const at::Tensor& context,
                             const Documents& documents);

}  // namespace gamut::gdn
