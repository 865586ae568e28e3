// Rotary positions, with the norm before and the gain after that attention layers have there.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>

namespace gamut::ops {

// y = gain_h * R_t( x / sqrt(mean(x^2) + eps) * weight ) for each step t and head h, where R_t
// turns pair j of the first 2 n channels by the angle whose cosine and sine are given: (a, b) -> (a
// cos - b sin, a sin + b cos).
//   x            [batch, time, heads, head_dim]; its type is the output's
//   cos, sin     [time, n] or [batch, time, n], n <= head_dim / 2, 0 for no rotation; constants
//   interleaved  pairs are channels 2j and 2j + 1; else j and j + n
//   weight, eps  of the RMS norm over head_dim; without eps no norm
//   gain         [heads], or none
// Throws gamut::Error when shapes do not fit.
static inline at::Tensor rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                              bool interleaved,
                              const std::optional<at::Tensor>& weight = std::nullopt,
                              std::optional<double> eps = std::nullopt,
                              const std::optional<at::Tensor>& gain = std::nullopt) {
  using Signature = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, bool,
                               const std::optional<at::Tensor>&, std::optional<double>,
                               const std::optional<at::Tensor>&);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::rope", "").typed<Signature>();
  return call.call(x, cos, sin, interleaved, weight, eps, gain);
}

}  // namespace gamut::ops
