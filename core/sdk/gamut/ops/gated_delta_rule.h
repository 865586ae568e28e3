// The gated delta rule: per head, a matrix state that decays, is corrected towards v at key k, and
// is read by q (Yang, Kautz, Hatamizadeh, "Gated Delta Networks", 2024, arXiv:2412.06464):
//
//     S = exp(g_t) S
//     S = S + k_t (beta_t (v_t - S^T k_t))^T
//     o_t = scale S^T q_t
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <cstdint>
#include <optional>
#include <tuple>

namespace gamut::ops {

// q, k [B, T, H, K], v [B, T, HV, V], g, beta [B, T, HV] -> output [B, T, HV, V] in the dtype of v,
// and final_state [N, HV, K, V] in float32, or float64 when v is. HV is a multiple of H: value head
// j reads head j / (HV / H). Keys are used as given; for stability they should
// have length one or less, beta be 0 to 2, and g, the log of the decay, be <= 0.
//
// N sequences: the rows of the batch or, with cu_seqlens (as MixerContext), its documents without
// the empty ones. initial_state [N, HV, K, V] is zero when absent. scale is K^-0.5 when absent.
// chunk_size is a power of two from 16 to 256, or 0: chosen; it changes speed and rounding only.
//
// Differentiable once in q, k, v, g, beta and initial_state, also through final_state. Throws
// gamut::Error when something does not fit.
static inline std::tuple<at::Tensor, at::Tensor> gated_delta_rule(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& g,
    const at::Tensor& beta, std::optional<double> scale = {},
    const std::optional<at::Tensor>& initial_state = {},
    const std::optional<at::Tensor>& cu_seqlens = {}, int64_t chunk_size = 0) {
  using Signature = std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
      std::optional<double>, const std::optional<at::Tensor>&, const std::optional<at::Tensor>&,
      int64_t);
  static const auto call = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("gamut::gated_delta_rule", "")
                               .typed<Signature>();
  return call.call(q, k, v, g, beta, scale, initial_state, cu_seqlens, chunk_size);
}

}  // namespace gamut::ops
