// The selective scan of Mamba-1, with its step size, skip and gate, carried state, packed
// documents.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace gamut::ops {

// A diagonal linear recurrence whose step size, input and output vary with the input (Gu & Dao
// 2023, arXiv:2312.00752, equation 2 and algorithm 2). Per channel e and state n, within each
// document:
//
//     d_t[e]   = delta_t[e] + delta_bias[e]; its softplus if delta_softplus
//     h_t[e,n] = exp(d_t[e] A[e,n]) h_{t-1}[e,n] + d_t[e] B_t[n] u_t[e]
//     y_t[e]   = (sum_n C_t[n] h_t[e,n] + D[e] u_t[e]) silu(z_t[e])
//
//   u, delta       [batch, time, channels]; the type of u is the output's
//   A              [channels, states], negative where states are to decay
//   B, C           [batch, time, states]
//   D, delta_bias  [channels] or none
//   z              as u, or none: no gate
//   initial_state  [documents, channels, states]; none: zeros
//   cu_seqlens     where documents begin, as MixerContext has it; none: each row is one
// Returns y and the state after each document, in float32 (float64 for u of float64). Documents are
// counted without empty ones. Inside, all is float32 (float64); types may be mixed. The forward
// pass keeps the state of every 32nd step and no other, the backward pass computes the others
// again. Results do not depend on the number of threads. Throws gamut::Error when shapes do not
// fit.
std::tuple<at::Tensor, at::Tensor> selective_scan(
    const at::Tensor& u, const at::Tensor& delta, const at::Tensor& A, const at::Tensor& B,
    const at::Tensor& C, const std::optional<at::Tensor>& D, const std::optional<at::Tensor>& z,
    const std::optional<at::Tensor>& delta_bias, bool delta_softplus,
    const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& cu_seqlens);

// The same, step by step in LibTorch's operators, on any device and in any type.
std::tuple<at::Tensor, at::Tensor> selective_scan_reference(
    const at::Tensor& u, const at::Tensor& delta, const at::Tensor& A, const at::Tensor& B,
    const at::Tensor& C, const std::optional<at::Tensor>& D, const std::optional<at::Tensor>& z,
    const std::optional<at::Tensor>& delta_bias, bool delta_softplus,
    const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& cu_seqlens);

}  // namespace gamut::ops
