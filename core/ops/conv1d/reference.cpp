// The layouts of weights, and the convolution by its definition: what tests compare with, and the
// way of other devices and types.
#include <ATen/ATen.h>
#include <gamut/error.h>

#include "ops/conv1d/conv1d.h"

namespace gamut::ops {

using at::Tensor;

Tensor conv1d_pack(const Tensor& weight) {
  GAMUT_CHECK(weight.dim() == 3 && weight.numel() > 0,
              "conv1d_pack: the weight must be [outputs, inputs, taps], none of them 0, not ",
              weight.sizes());
  const int64_t outputs = weight.size(0), width = outputs <= 2 ? 1 : outputs <= 16 ? 16 : 32;
  const int64_t panels = (outputs + width - 1) / width;
  const auto padded =
      at::constant_pad_nd(weight.detach(), {0, 0, 0, 0, 0, panels * width - outputs});
  return padded.view({panels, width, weight.size(1), weight.size(2)})
      .permute({0, 3, 2, 1})
      .contiguous();
}

Tensor conv_transpose1d_pack(const Tensor& weight, int64_t stride) {
  GAMUT_CHECK(weight.dim() == 3 && weight.numel() > 0 && stride > 0,
              "conv_transpose1d_pack: the weight must be [inputs, outputs, taps], none of them 0, "
              "and the stride positive; they are ",
              weight.sizes(), " and ", stride);
  const int64_t inputs = weight.size(0), outputs = weight.size(1);
  const int64_t taps = (weight.size(2) + stride - 1) / stride;
  // Step r of output row q is the sum over i of x_{q - i} weight_{i stride + r}.
  return conv1d_pack(at::constant_pad_nd(weight.detach(), {0, taps * stride - weight.size(2)})
                         .view({inputs, outputs, taps, stride})
                         .permute({3, 1, 0, 2})
                         .flip(3)
                         .reshape({stride * outputs, inputs, taps}));
}

Tensor conv1d_reference(const Tensor& x, const Tensor& packed, const std::optional<Tensor>& bias,
                        int64_t outputs, int64_t stride, int64_t dilation, int64_t left,
                        int64_t right, std::optional<c10::string_view> activation,
                        const std::optional<Tensor>& alpha, const std::optional<Tensor>& residual,
                        bool tanh) {
  Tensor in = x;
  if (activation && *activation == "snake") {
    in = x + (*alpha + 1e-9).reciprocal() * at::sin(*alpha * x).square();
  } else if (activation) {
    in = at::elu(x);
  }
  const auto weight = packed.permute({0, 3, 2, 1}).flatten(0, 1).narrow(0, 0, outputs);
  const auto padded = at::constant_pad_nd(in, {0, 0, left, right});
  const int64_t none = 0;
  Tensor y =
      at::conv1d(padded.transpose(1, 2), weight, bias, stride, at::IntArrayRef(none), dilation);
  y = y.transpose(1, 2).contiguous();
  if (tanh) y = y.tanh();
  return residual ? y + *residual : y;
}

}  // namespace gamut::ops
