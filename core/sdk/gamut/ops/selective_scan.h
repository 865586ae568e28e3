// The selective scan of Mamba-1, with its step size, skip and gate, carried state, packed
// documents.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <tuple>

namespace gamut::ops {

// Per channel e and state n, within each document:
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
//   cu_seqlens     as MixerContext has it; none: each row is one document
// Returns y and the state after each document, in float32 (float64 for float64). Documents are
// counted as gamut/documents.h does, without empty ones. Throws gamut::Error when shapes do not
// fit.
static inline std::tuple<at::Tensor, at::Tensor> selective_scan(
    const at::Tensor& u, const at::Tensor& delta, const at::Tensor& A, const at::Tensor& B,
    const at::Tensor& C, const std::optional<at::Tensor>& D = std::nullopt,
    const std::optional<at::Tensor>& z = std::nullopt,
    const std::optional<at::Tensor>& delta_bias = std::nullopt, bool delta_softplus = false,
    const std::optional<at::Tensor>& initial_state = std::nullopt,
    const std::optional<at::Tensor>& cu_seqlens = std::nullopt) {
  using Optional = const std::optional<at::Tensor>&;
  using Signature = std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
      Optional, Optional, Optional, bool, Optional, Optional);
  static const auto call = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("gamut::selective_scan", "")
                               .typed<Signature>();
  return call.call(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state, cu_seqlens);
}

}  // namespace gamut::ops
