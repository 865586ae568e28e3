// Causal depthwise convolution over a few steps, with SiLU, carried state and packed documents.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/string_view.h>

#include <optional>
#include <tuple>

namespace gamut::ops {

// y_t = act(bias + sum_j weight_j x_{t - (W - 1) + j}), channel by channel, within each document:
// the short convolution of Mamba (Gu & Dao 2023, section 3.4) and of Gated DeltaNet.
//   x              [batch, time, channels]; its type is the output's
//   weight         [channels, W] or [channels, 1, W] as torch.nn.Conv1d keeps it; W from 1 to 64
//   bias           [channels] or none
//   initial_state  [documents, W - 1, channels]: the steps before each document; none: zeros
//   cu_seqlens     where documents begin, as MixerContext has it; none: each row is one
//   activation     "silu" or none
// Returns y and the state after each document, its last W - 1 inputs, in float32 (float64 for x of
// float64). Documents are counted without empty ones. Sums are float32 (float64). The backward pass
// computes what precedes SiLU again. Throws gamut::Error when shapes do not fit.
std::tuple<at::Tensor, at::Tensor> causal_conv1d(const at::Tensor& x, const at::Tensor& weight,
                                                 const std::optional<at::Tensor>& bias,
                                                 const std::optional<at::Tensor>& initial_state,
                                                 const std::optional<at::Tensor>& cu_seqlens,
                                                 std::optional<c10::string_view> activation);

// The same with l2_norm(y, eps, clamp) of norm.h over each head_dim channels of y, as queries and
// keys of Gated DeltaNet have it: in one pass on a GPU where width is 4 and heads are of 16 bytes
// to 256 channels, else by the two operators.
std::tuple<at::Tensor, at::Tensor> causal_conv1d_l2_norm(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
    int64_t head_dim, double eps, bool clamp, const std::optional<at::Tensor>& initial_state,
    const std::optional<at::Tensor>& cu_seqlens, std::optional<c10::string_view> activation);

// The first, document by document in LibTorch's operators, on any device.
std::tuple<at::Tensor, at::Tensor> causal_conv1d_reference(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
    const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& cu_seqlens,
    std::optional<c10::string_view> activation);

}  // namespace gamut::ops
