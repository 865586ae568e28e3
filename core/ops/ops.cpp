// The list of operators: schema and function of each.
#include "ops/ops.h"

#include <torch/library.h>

#include "ops/causal_conv1d/causal_conv1d.h"
#include "ops/gated_delta_rule/gated_delta_rule.h"
#include "ops/norm/rms_norm.h"

namespace gamut::ops {

TORCH_LIBRARY_FRAGMENT(gamut, library) {
  library.def(
      "causal_conv1d(Tensor x, Tensor weight, Tensor? bias=None, *, Tensor? initial_state=None, "
      "Tensor? cu_seqlens=None, str? activation=None) -> (Tensor output, Tensor final_state)",
      causal_conv1d);
  library.def(
      "causal_conv1d_reference(Tensor x, Tensor weight, Tensor? bias=None, *, "
      "Tensor? initial_state=None, Tensor? cu_seqlens=None, str? activation=None) "
      "-> (Tensor output, Tensor final_state)",
      causal_conv1d_reference);
  library.def(
      "gated_delta_rule(Tensor q, Tensor k, Tensor v, Tensor g, Tensor beta, *, "
      "float? scale=None, Tensor? initial_state=None, Tensor? cu_seqlens=None, int chunk_size=0) "
      "-> (Tensor output, Tensor final_state)",
      gated_delta_rule);
  library.def(
      "gated_delta_rule_reference(Tensor q, Tensor k, Tensor v, Tensor g, Tensor beta, *, "
      "float? scale=None, Tensor? initial_state=None, Tensor? cu_seqlens=None, int chunk_size=0) "
      "-> (Tensor output, Tensor final_state)",
      gated_delta_rule_reference);
  library.def("rms_norm(Tensor x, Tensor? weight, float eps) -> Tensor", rms_norm);
}

void link_operators() {}

}  // namespace gamut::ops
