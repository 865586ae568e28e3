// Mamba-2's recurrence, state-space duality (Dao & Gu 2024).
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

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
//   cu_seqlens     as MixerContext has it; none: each row is one document
//   chunk_size     steps that are one product, at most 256; 0: chosen
// Returns y and the state after each document, in float32 (float64 for x of float64). Documents are
// counted as gamut/documents.h does, without empty ones. Differentiable once. Throws gamut::Error
// when shapes do not fit.
static inline std::tuple<at::Tensor, at::Tensor> ssd(
    const at::Tensor& x, const at::Tensor& dt, const at::Tensor& A, const at::Tensor& B,
    const at::Tensor& C, const std::optional<at::Tensor>& D = std::nullopt,
    const std::optional<at::Tensor>& dt_bias = std::nullopt, bool dt_softplus = false,
    const std::optional<at::Tensor>& initial_state = std::nullopt,
    const std::optional<at::Tensor>& cu_seqlens = std::nullopt, int64_t chunk_size = 0) {
  using Signature = std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
      const std::optional<at::Tensor>&, const std::optional<at::Tensor>&, bool,
      const std::optional<at::Tensor>&, const std::optional<at::Tensor>&, int64_t);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::ssd", "").typed<Signature>();
  return call.call(x, dt, A, B, C, D, dt_bias, dt_softplus, initial_state, cu_seqlens, chunk_size);
}

}  // namespace gamut::ops
