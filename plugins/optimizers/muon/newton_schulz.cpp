// Three batched products a step, the sums folded into them.
#include "newton_schulz.h"

#include <ATen/ATen.h>

namespace gamut::muon {

const Iteration& iteration(const std::string& name) {
  static const Iteration keller = {{{3.4445, -4.7750, 2.0315}}, 1.0, 1e-7};
  static const Iteration polar_express = {{{8.156555, -22.483293, 15.878770},
                                           {4.042930, -2.808917, 0.500018},
                                           {3.891668, -2.772484, 0.506065},
                                           {3.285754, -2.368129, 0.464490},
                                           {2.346541, -1.709783, 0.423236}},
                                          1.02,
                                          1e-6};
  return name == "keller" ? keller : polar_express;
}

at::Tensor orthogonalize(const at::Tensor& input, const Iteration& iteration, int64_t steps) {
  at::Tensor norm = at::linalg_vector_norm(input, 2, at::IntArrayRef({-2, -1}), /*keepdim=*/true);
  at::Tensor x = input / (norm * iteration.safety + iteration.eps);
  for (int64_t i = 0; i < steps; ++i) {
    const auto last = static_cast<int64_t>(iteration.coefficients.size()) - 1;
    const auto& [a, b, c] = iteration.coefficients[std::min(i, last)];
    const at::Tensor gram = at::bmm(x, x.mT());
    const at::Tensor polynomial = at::baddbmm(gram, gram, gram, /*beta=*/b, /*alpha=*/c);
    x = at::baddbmm(x, polynomial, x, /*beta=*/a);
  }
  return x;
}

}  // namespace gamut::muon
