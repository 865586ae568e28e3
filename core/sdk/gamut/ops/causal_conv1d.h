// Causal depthwise convolution over a few steps, with SiLU, carried state and packed documents.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/util/string_view.h>

#include <optional>
#include <tuple>

namespace gamut::ops {

// y_t = act(bias + sum_j weight_j x_{t - (W - 1) + j}), channel by channel, within each document.
//   x              [batch, time, channels]; its type is the output's
//   weight         [channels, W] or [channels, 1, W], W from 1 to 64
//   bias           [channels] or none
//   initial_state  [documents, W - 1, channels]: the steps before each document; none: zeros
//   cu_seqlens     as MixerContext has it; none: each row is one document
//   activation     "silu" or none
// Returns y and the state after each document, its last W - 1 inputs, in float32 (float64 for
// float64). Documents are counted as gamut/documents.h does, without empty ones. Throws
// gamut::Error when shapes do not fit.
static inline std::tuple<at::Tensor, at::Tensor> causal_conv1d(
    const at::Tensor& x, const at::Tensor& weight,
    const std::optional<at::Tensor>& bias = std::nullopt,
    const std::optional<at::Tensor>& initial_state = std::nullopt,
    const std::optional<at::Tensor>& cu_seqlens = std::nullopt,
    std::optional<c10::string_view> activation = std::nullopt) {
  using Signature = std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
      const std::optional<at::Tensor>&, const std::optional<at::Tensor>&,
      std::optional<c10::string_view>);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::causal_conv1d", "").typed<Signature>();
  return call.call(x, weight, bias, initial_state, cu_seqlens, activation);
}

// The same with l2_norm(y, eps, clamp) of each head_dim channels of y, which must divide them: on a
// GPU in one pass, where it can be.
static inline std::tuple<at::Tensor, at::Tensor> causal_conv1d_l2_norm(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
    int64_t head_dim, double eps, bool clamp,
    const std::optional<at::Tensor>& initial_state = std::nullopt,
    const std::optional<at::Tensor>& cu_seqlens = std::nullopt,
    std::optional<c10::string_view> activation = std::nullopt) {
  using Signature = std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, int64_t, double, bool,
      const std::optional<at::Tensor>&, const std::optional<at::Tensor>&,
      std::optional<c10::string_view>);
  static const auto call = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("gamut::causal_conv1d_l2_norm", "")
                               .typed<Signature>();
  return call.call(x, weight, bias, head_dim, eps, clamp, initial_state, cu_seqlens, activation);
}

}  // namespace gamut::ops
