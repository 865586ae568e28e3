// The gated delta rule: per head, a matrix state that decays, is corrected towards v at key k, and
// is read by q (Yang, Kautz, Hatamizadeh, "Gated Delta Networks", 2024, arXiv:2412.06464):
//
//     S = exp(g_t) S
//     S = S + k_t (beta_t (v_t - S^T k_t))^T
//     o_t = scale S^T q_t
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <tuple>

namespace gamut::ops {

// q, k [B, T, H, K], v [B, T, HV, V], g, beta [B, T, HV] -> output [B, T, HV, V] in the dtype of v,
// and final_state [N, HV, K, V] in float32, or float64 when v is. HV is a multiple of H: value head
// j reads head j / (HV / H). Keys are used as given; for stability they should
// have length one or less, beta be 0 to 2, and g, the log of the decay, be <= 0.
//
// N sequences: the rows of the batch or, with cu_seqlens (int64 on the CPU, offsets into the
// flattened B * T steps, from 0 to B * T, with every row start), its documents without the empty
// ones. initial_state [N, HV, K, V] is zero when absent. scale is K^-0.5 when absent. chunk_size is
// a power of two from 16 to 256, or 0: chosen; it changes speed and rounding only. The CUDA
// kernels have chunks of their own.
//
// Differentiable once in q, k, v, g, beta and initial_state, also through final_state. Throws
// gamut::Error when something does not fit.
std::tuple<at::Tensor, at::Tensor> gated_delta_rule(const at::Tensor& q, const at::Tensor& k,
                                                    const at::Tensor& v, const at::Tensor& g,
                                                    const at::Tensor& beta,
                                                    std::optional<double> scale,
                                                    const std::optional<at::Tensor>& initial_state,
                                                    const std::optional<at::Tensor>& cu_seqlens,
                                                    int64_t chunk_size);

// The same by its definition, step by step in LibTorch's operators and the dtype of the input:
// slow, for tests. Differentiable any number of times; chunk_size is checked and means nothing.
std::tuple<at::Tensor, at::Tensor> gated_delta_rule_reference(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& g,
    const at::Tensor& beta, std::optional<double> scale,
    const std::optional<at::Tensor>& initial_state, const std::optional<at::Tensor>& cu_seqlens,
    int64_t chunk_size);

}  // namespace gamut::ops
