// One-dimensional convolution over channels-last activations, for inference: the layers of neural
// audio codecs.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/string_view.h>

#include <optional>

namespace gamut::ops {

// weight [outputs, inputs, taps], as torch.nn.Conv1d keeps it, in the layout of conv1d:
// [panels, taps, inputs, width] with outputs in panels of `width` columns, the last one padded with
// zeros. The width is 1 for up to 2 outputs, 16 for up to 16 and 32 for more, whatever the
// instruction set.
at::Tensor conv1d_pack(const at::Tensor& weight);

// weight [inputs, outputs, taps], as torch.nn.ConvTranspose1d keeps it: what conv1d needs to
// compute `stride` time steps, of `outputs` channels each, as one row of stride * outputs columns.
// That convolution has m = ceil(taps / stride) taps; with left = right = m - 1 its rows, seen as
// [B, rows * stride, outputs], are the transposed convolution without padding, (T - 1) stride +
// taps steps, and then m stride - taps steps more that are the bias alone. Padding of the
// transposed convolution drops as many steps at either end.
at::Tensor conv_transpose1d_pack(const at::Tensor& weight, int64_t stride);

// y_t = tanh(bias + sum_{j, c} weight_{j, c} act(x)_{t stride + j dilation - left, c}) + residual_t
//   x           [B, T, inputs]; act(x) is zero outside of [0, T)
//   packed      of conv1d_pack, for `outputs` columns
//   bias        [outputs] or none
//   left, right steps of zeros before and after; the output has
//               (T + left + right - ((taps - 1) dilation + 1)) / stride + 1 steps, rounded down
//   activation  of x: "snake", x + sin(alpha x)^2 / (alpha + 1e-9) (Ziyin et al. 2020, equation 3)
//               with alpha [inputs]; "elu", x or exp(x) - 1 below 0; or none
//   residual    [B, steps, outputs] or none
//   tanh        whether the sum goes through it
// float32 on a CPU is computed by fused kernels: a step's result has the same bits whatever
// T, its place, the batch and the number of threads. Other types and devices take
// conv1d_reference. Not differentiable: throws gamut::Error when a gradient would be asked for, and
// when shapes or types do not fit.
at::Tensor conv1d(const at::Tensor& x, const at::Tensor& packed,
                  const std::optional<at::Tensor>& bias, int64_t outputs, int64_t stride,
                  int64_t dilation, int64_t left, int64_t right,
                  std::optional<c10::string_view> activation,
                  const std::optional<at::Tensor>& alpha, const std::optional<at::Tensor>& residual,
                  bool tanh);

// The same in LibTorch's operators, on any device.
at::Tensor conv1d_reference(const at::Tensor& x, const at::Tensor& packed,
                            const std::optional<at::Tensor>& bias, int64_t outputs, int64_t stride,
                            int64_t dilation, int64_t left, int64_t right,
                            std::optional<c10::string_view> activation,
                            const std::optional<at::Tensor>& alpha,
                            const std::optional<at::Tensor>& residual, bool tanh);

}  // namespace gamut::ops
