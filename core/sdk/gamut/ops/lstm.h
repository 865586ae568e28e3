// Long short-term memory over channels-last sequences, for inference.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <tuple>
#include <vector>

namespace gamut::ops {

// One layer's weights as torch.nn.LSTM keeps them (gates i, f, g, o), weight_ih [4 H, inputs],
// weight_hh [4 H, H], biases [4 H] or none: three tensors for lstm.
static inline std::vector<at::Tensor> pack_lstm(
    const at::Tensor& weight_ih, const at::Tensor& weight_hh,
    const std::optional<at::Tensor>& bias_ih = std::nullopt,
    const std::optional<at::Tensor>& bias_hh = std::nullopt) {
  using Signature =
      std::vector<at::Tensor>(const at::Tensor&, const at::Tensor&,
                              const std::optional<at::Tensor>&, const std::optional<at::Tensor>&);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::lstm_pack", "").typed<Signature>();
  return call.call(weight_ih, weight_hh, bias_ih, bias_hh);
}

// x [B, T, inputs] through layers packed by pack_lstm, their tensors one layer after another. h and
// c [layers, B, H] are the state before x; none: zeros. Returns y [B, T, H] and the state after x.
// float32 on the CPU: a row's results have the same bits whatever the batch, the number of threads
// and the pieces in which a sequence comes. All layers must have the same H. Throws gamut::Error
// when shapes or types do not fit, or when a gradient would be asked for.
static inline std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm(
    const at::Tensor& x, at::TensorList packed, const std::optional<at::Tensor>& h = std::nullopt,
    const std::optional<at::Tensor>& c = std::nullopt) {
  using Signature = std::tuple<at::Tensor, at::Tensor, at::Tensor>(
      const at::Tensor&, at::TensorList, const std::optional<at::Tensor>&,
      const std::optional<at::Tensor>&);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::lstm", "").typed<Signature>();
  return call.call(x, packed, h, c);
}

}  // namespace gamut::ops
