// Mamba-2's recurrence, state-space duality (Dao & Gu 2024, "Transformers are SSMs").
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace gamut::ops {

// Head by head, with a state h of [P, N]; head i reads group i / (H / G):
//   h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T
//   y_t = h_t C_t + D x_t
//   x              [batch, time, H, P]; its type is the output's
//   dt             [batch, time, H]; with dt_bias [H] added and, if dt_softplus, its softplus taken
//   A              [H], negative as a rule
//   B, C           [batch, time, G, N], G a divisor of H
//   D              [H] or none
//   initial_state  [documents, H, P, N] or none: zeros
//   cu_seqlens     where documents begin, as MixerContext has it; none: each row is one
//   chunk_size     steps that are one product; 0: chosen. CUDA kernels have chunks of their own
// Returns y and the state after each document, in float32 (float64 for x of float64). Documents are
// counted without empty ones. Sums are float32 (float64). Differentiable once. Throws
// gamut::Error when shapes do not fit.
//
// On the CPU by chunks, with a = cumsum(dt A) in a chunk of Q steps, L_ij = exp(a_i - a_j) for
// i >= j (section 6 of the paper):
//   Y = ((C B^T) .* L) diag(dt) X + diag(exp a) C h^T + D X
//   h <- exp(a_Q) h + (diag(dt exp(a_Q - a)) X)^T B
// Between the passes only the states entering chunks are kept: batch * time / Q * H * N * P
// numbers.
std::tuple<at::Tensor, at::Tensor> ssd(const at::Tensor& x, const at::Tensor& dt,
                                       const at::Tensor& A, const at::Tensor& B,
                                       const at::Tensor& C, const std::optional<at::Tensor>& D,
                                       const std::optional<at::Tensor>& dt_bias, bool dt_softplus,
                                       const std::optional<at::Tensor>& initial_state,
                                       const std::optional<at::Tensor>& cu_seqlens,
                                       int64_t chunk_size);

// The recurrence step by step in LibTorch's operators: what tests compare with. chunk_size is not
// used.
std::tuple<at::Tensor, at::Tensor> ssd_reference(
    const at::Tensor& x, const at::Tensor& dt, const at::Tensor& A, const at::Tensor& B,
    const at::Tensor& C, const std::optional<at::Tensor>& D,
    const std::optional<at::Tensor>& dt_bias, bool dt_softplus,
    const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& cu_seqlens,
    int64_t chunk_size);

// The chunk form in LibTorch's operators, on any device: for gradients of gradients, and where
// there is no kernel.
std::tuple<at::Tensor, at::Tensor> ssd_composed(
    const at::Tensor& x, const at::Tensor& dt, const at::Tensor& A, const at::Tensor& B,
    const at::Tensor& C, const std::optional<at::Tensor>& D,
    const std::optional<at::Tensor>& dt_bias, bool dt_softplus,
    const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& cu_seqlens,
    int64_t chunk_size);

}  // namespace gamut::ops
