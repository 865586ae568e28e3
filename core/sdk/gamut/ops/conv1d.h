// One-dimensional convolution over channels-last activations [batch, time, channels], for
// inference.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/util/string_view.h>

#include <optional>

namespace gamut::ops {

// A layer's weights, packed for conv1d. Made by pack_conv1d and pack_conv_transpose1d.
struct Conv1d {
  at::Tensor packed;
  at::Tensor bias;      // [outputs], or undefined: none
  int64_t outputs = 0;  // columns of a row of the result
  int64_t stride = 1, dilation = 1;
};

// What a call of a layer adds to it.
struct Conv1dCall {
  int64_t left = 0, right = 0;  // steps of zeros before and after x
  // Of x: "snake", x + sin(alpha x)^2 / (alpha + 1e-9) with alpha [inputs]; "elu"; or none.
  std::optional<c10::string_view> activation;
  at::Tensor alpha;
  at::Tensor residual;  // as the result, added to it at the end; or undefined
  bool tanh = false;    // of the sum with its bias
};

// weight [outputs, inputs, taps] as torch.nn.Conv1d keeps it, bias [outputs] or undefined.
static inline Conv1d pack_conv1d(const at::Tensor& weight, const at::Tensor& bias,
                                 int64_t stride = 1, int64_t dilation = 1) {
  static const auto call = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("gamut::conv1d_pack", "")
                               .typed<at::Tensor(const at::Tensor&)>();
  return {call.call(weight), bias, weight.size(0), stride, dilation};
}

// weight [inputs, outputs, taps] as torch.nn.ConvTranspose1d keeps it, bias [outputs] or undefined.
// A row of the layer's result is `stride` steps of `outputs` channels. With m = ceil(taps / stride)
// and a call of left = right = m - 1, the result [B, T + m - 1, stride * outputs] viewed as
// [B, (T + m - 1) * stride, outputs] begins with the (T - 1) stride + taps steps of the transposed
// convolution without padding; a padding of p drops p of them at either end. In a stream, m - 1
// rows of context in place of `left` continue the result exactly.
static inline Conv1d pack_conv_transpose1d(const at::Tensor& weight, const at::Tensor& bias,
                                           int64_t stride) {
  static const auto call = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("gamut::conv_transpose1d_pack", "")
                               .typed<at::Tensor(const at::Tensor&, int64_t)>();
  return {call.call(weight, stride), bias.defined() ? bias.repeat({stride}) : bias,
          weight.size(1) * stride, 1, 1};
}

// y_t = tanh(bias + sum_{j, c} weight_{j, c} act(x)_{t stride + j dilation - left, c}) + residual_t
// for x [B, T, inputs]: [B, steps, outputs] with
// steps = (T + left + right - ((taps - 1) dilation + 1)) / stride + 1, rounded down. x may be a
// narrowed view in time. A step's result has the same bits whatever T, its place in x, the batch
// and the number of threads, for float32 on the CPU, where kernels are fused; elsewhere LibTorch's
// operators compute it. A linear map is a layer of one tap. Throws gamut::Error when shapes or
// types do not fit, or when a gradient would be asked for.
static inline at::Tensor conv1d(const at::Tensor& x, const Conv1d& layer,
                                const Conv1dCall& with = {}) {
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, int64_t,
                 int64_t, int64_t, int64_t, int64_t, std::optional<c10::string_view>,
                 const std::optional<at::Tensor>&, const std::optional<at::Tensor>&, bool);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::conv1d", "").typed<Signature>();
  const auto optional = [](const at::Tensor& t) {
    return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
  };
  return call.call(x, layer.packed, optional(layer.bias), layer.outputs, layer.stride,
                   layer.dilation, with.left, with.right, with.activation, optional(with.alpha),
                   optional(with.residual), with.tanh);
}

}  // namespace gamut::ops
