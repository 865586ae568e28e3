// Long short-term memory over channels-last sequences, for inference.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>
#include <vector>

namespace gamut::ops {

// One layer's weights as torch.nn.LSTM keeps them, weight_ih [4 H, inputs], weight_hh [4 H, H],
// biases [4 H] each or none, gates in the order i, f, g, o, in the layouts of lstm:
//   the input's   as conv1d_pack has them, with 64 columns for each block of 16 hidden units: those
//                 of i, then of f, g and o; units beyond H are zero
//   bias          [blocks * 64], the sum of both
//   the state's   [blocks, H, 4, 16]
std::vector<at::Tensor> lstm_pack(const at::Tensor& weight_ih, const at::Tensor& weight_hh,
                                  const std::optional<at::Tensor>& bias_ih,
                                  const std::optional<at::Tensor>& bias_hh);

// i, f, o = sigmoid(W x_t + U h_{t-1} + b), g = tanh(of the same), c_t = f c_{t-1} + i g,
// h_t = o tanh(c_t), layer upon layer (Hochreiter & Schmidhuber 1997; Gers et al. 2000).
//   x       [B, T, inputs]
//   packed  three tensors a layer, of lstm_pack, first layer first
//   h, c    [layers, B, H]: the state before x; none: zeros
// Returns y [B, T, H], the last layer's h_t, and the state after x. float32 on a CPU is computed by
// fused kernels: a row's results have the same bits whatever the batch, the number of threads and
// the pieces in which a sequence comes. Other types and devices take lstm_reference. Not
// differentiable: throws gamut::Error when a gradient would be asked for, and when shapes or types
// do not fit.
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm(const at::Tensor& x, at::TensorList packed,
                                                    const std::optional<at::Tensor>& h,
                                                    const std::optional<at::Tensor>& c);

// The same step by step in LibTorch's operators, on any device.
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_reference(const at::Tensor& x,
                                                              at::TensorList packed,
                                                              const std::optional<at::Tensor>& h,
                                                              const std::optional<at::Tensor>& c);

}  // namespace gamut::ops
