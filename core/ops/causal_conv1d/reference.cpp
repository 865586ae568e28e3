// The convolution by its definition: what tests compare with, and the way of other devices.
#include <ATen/ATen.h>
#include <gamut/documents.h>

#include "ops/causal_conv1d/causal_conv1d.h"
#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;

std::tuple<Tensor, Tensor> causal_conv1d_reference(const Tensor& x, const Tensor& weight,
                                                   const std::optional<Tensor>& bias,
                                                   const std::optional<Tensor>& initial_state,
                                                   const std::optional<Tensor>& cu_seqlens,
                                                   std::optional<c10::string_view> activation) {
  const Documents documents(or_undefined(cu_seqlens), x.size(0), x.size(1));
  const auto taps = weight.flatten(1).to(sum_type(x));
  const int64_t back = taps.size(1) - 1;
  const auto flat = x.flatten(0, 1).to(sum_type(x));
  std::vector<Tensor> outputs, states;
  for (int64_t i = 0; i < documents.size(); ++i) {
    const int64_t length = documents.end(i) - documents.begin(i);
    const auto before = initial_state ? initial_state->select(0, i).to(sum_type(x))
                                      : at::zeros({back, x.size(2)}, flat.options());
    const auto inputs = at::cat({before, flat.narrow(0, documents.begin(i), length)});
    auto y = bias ? bias->to(sum_type(x)).expand({length, -1})
                  : at::zeros({length, x.size(2)}, flat.options());
    for (int64_t j = 0; j <= back; ++j) y = y + taps.select(1, j) * inputs.narrow(0, j, length);
    outputs.push_back(activation ? at::silu(y) : y);
    states.push_back(inputs.narrow(0, length, back));
  }
  return {at::cat(outputs).view_as(x).to(x.scalar_type()), at::stack(states)};
}

}  // namespace gamut::ops
