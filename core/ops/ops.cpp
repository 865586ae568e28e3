// The list of operators: schema and function of each.
#include "ops/ops.h"

#include <torch/library.h>

#include "ops/activation/activation.h"
#include "ops/attention/attention.h"
#include "ops/causal_conv1d/causal_conv1d.h"
#include "ops/conv1d/conv1d.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/gated_delta_rule/gated_delta_rule.h"
#include "ops/linears/linears.h"
#include "ops/lstm/lstm.h"
#include "ops/newton_schulz/newton_schulz.h"
#include "ops/norm/norm.h"
#include "ops/rope/rope.h"
#include "ops/scaled_sum/scaled_sum.h"
#include "ops/selective_scan/selective_scan.h"
#include "ops/simd/exp_rate.h"
#include "ops/ssd/ssd.h"

namespace gamut::ops {

TORCH_LIBRARY_FRAGMENT(gamut, library) {
  library.def(
      "attention(Tensor q, Tensor k, Tensor v, *, float? scale=None, bool causal=True, "
      "int window=0, Tensor? spans=None) -> Tensor",
      attention);
  library.def(
      "attention_reference(Tensor q, Tensor k, Tensor v, *, float? scale=None, bool causal=True, "
      "int window=0, Tensor? spans=None) -> Tensor",
      attention_reference);
  library.def(
      "causal_conv1d(Tensor x, Tensor weight, Tensor? bias=None, *, Tensor? initial_state=None, "
      "Tensor? cu_seqlens=None, str? activation=None) -> (Tensor output, Tensor final_state)",
      causal_conv1d);
  library.def(
      "causal_conv1d_l2_norm(Tensor x, Tensor weight, Tensor? bias=None, *, int head_dim, "
      "float eps=1e-6, bool clamp=False, Tensor? initial_state=None, Tensor? cu_seqlens=None, "
      "str? activation=None) -> (Tensor output, Tensor final_state)",
      causal_conv1d_l2_norm);
  library.def(
      "causal_conv1d_reference(Tensor x, Tensor weight, Tensor? bias=None, *, "
      "Tensor? initial_state=None, Tensor? cu_seqlens=None, str? activation=None) "
      "-> (Tensor output, Tensor final_state)",
      causal_conv1d_reference);
  library.def(
      "conv1d(Tensor x, Tensor packed, Tensor? bias=None, *, int outputs, "
      "int stride=1, int dilation=1, int left=0, int right=0, str? activation=None, "
      "Tensor? alpha=None, Tensor? residual=None, bool tanh=False) -> Tensor",
      conv1d);
  library.def(
      "conv1d_reference(Tensor x, Tensor packed, Tensor? bias=None, *, int outputs, "
      "int stride=1, int dilation=1, int left=0, int right=0, str? activation=None, "
      "Tensor? alpha=None, Tensor? residual=None, bool tanh=False) -> Tensor",
      conv1d_reference);
  library.def("conv1d_pack(Tensor weight) -> Tensor", conv1d_pack);
  library.def("conv_transpose1d_pack(Tensor weight, int stride) -> Tensor", conv_transpose1d_pack);
  library.def(
      "cross_entropy(Tensor logits, Tensor targets, *, int ignore_index=-100, "
      "float label_smoothing=0.0, float softcap=0.0) -> Tensor",
      cross_entropy);
  library.def(
      "cross_entropy_reference(Tensor logits, Tensor targets, *, int ignore_index=-100, "
      "float label_smoothing=0.0, float softcap=0.0) -> Tensor",
      cross_entropy_reference);
  library.def("exp_rate(Tensor x, int times) -> Tensor", exp_rate);
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
  library.def("l2_norm(Tensor x, float eps=1e-6, *, bool clamp=False) -> Tensor", l2_norm);
  library.def("l2_norm_reference(Tensor x, float eps=1e-6, *, bool clamp=False) -> Tensor",
              l2_norm_reference);
  library.def(
      "linear_cross_entropy(Tensor x, Tensor[] weights, Tensor targets, *, int ignore_index=-100, "
      "float label_smoothing=0.0, float softcap=0.0) -> Tensor",
      linear_cross_entropy);
  library.def(
      "linear_cross_entropy_reference(Tensor x, Tensor[] weights, Tensor targets, *, "
      "int ignore_index=-100, float label_smoothing=0.0, float softcap=0.0) -> Tensor",
      linear_cross_entropy_reference);
  library.def("linears(Tensor x, Tensor[] weights) -> Tensor[]", linears);
  library.def("linears_reference(Tensor x, Tensor[] weights) -> Tensor[]", linears_reference);
  library.def(
      "lstm(Tensor x, Tensor[] packed, Tensor? h=None, Tensor? c=None) "
      "-> (Tensor y, Tensor h_out, Tensor c_out)",
      lstm);
  library.def(
      "lstm_pack(Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih=None, Tensor? bias_hh=None) "
      "-> Tensor[]",
      lstm_pack);
  library.def(
      "lstm_reference(Tensor x, Tensor[] packed, Tensor? h=None, Tensor? c=None) "
      "-> (Tensor y, Tensor h_out, Tensor c_out)",
      lstm_reference);
  library.def(
      "newton_schulz(Tensor[] matrices, float[] coefficients, *, float safety=1.0, "
      "float eps=1e-07, ScalarType? dtype=None) -> Tensor[]",
      newton_schulz);
  library.def(
      "newton_schulz_reference(Tensor[] matrices, float[] coefficients, *, float safety=1.0, "
      "float eps=1e-07, ScalarType? dtype=None) -> Tensor[]",
      newton_schulz_reference);
  library.def("relu_squared(Tensor x) -> Tensor", relu_squared);
  library.def("relu_squared_reference(Tensor x) -> Tensor", relu_squared_reference);
  library.def(
      "rms_norm(Tensor x, Tensor? weight, float eps, *, Tensor? gate=None, bool gate_first=False, "
      "int? group_size=None) -> Tensor",
      rms_norm);
  library.def(
      "rms_norm_reference(Tensor x, Tensor? weight, float eps, *, Tensor? gate=None, "
      "bool gate_first=False, int? group_size=None) -> Tensor",
      rms_norm_reference);
  library.def(
      "rope(Tensor x, Tensor cos, Tensor sin, *, bool interleaved=False, Tensor? weight=None, "
      "float? eps=None, Tensor? gain=None) -> Tensor",
      rope);
  library.def(
      "rope_reference(Tensor x, Tensor cos, Tensor sin, *, bool interleaved=False, "
      "Tensor? weight=None, float? eps=None, Tensor? gain=None) -> Tensor",
      rope_reference);
  library.def("scaled_sum(Tensor x, Tensor y, Tensor? a=None, Tensor? b=None) -> Tensor",
              scaled_sum);
  library.def("scaled_sum_reference(Tensor x, Tensor y, Tensor? a=None, Tensor? b=None) -> Tensor",
              scaled_sum_reference);
  library.def(
      "selective_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, *, Tensor? D=None, "
      "Tensor? z=None, Tensor? delta_bias=None, bool delta_softplus=False, "
      "Tensor? initial_state=None, Tensor? cu_seqlens=None) "
      "-> (Tensor output, Tensor final_state)",
      selective_scan);
  library.def(
      "selective_scan_reference(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, *, "
      "Tensor? D=None, Tensor? z=None, Tensor? delta_bias=None, bool delta_softplus=False, "
      "Tensor? initial_state=None, Tensor? cu_seqlens=None) "
      "-> (Tensor output, Tensor final_state)",
      selective_scan_reference);
  library.def(
      "ssd(Tensor x, Tensor dt, Tensor A, Tensor B, Tensor C, *, Tensor? D=None, "
      "Tensor? dt_bias=None, bool dt_softplus=False, Tensor? initial_state=None, "
      "Tensor? cu_seqlens=None, int chunk_size=0) -> (Tensor output, Tensor final_state)",
      ssd);
  library.def(
      "ssd_reference(Tensor x, Tensor dt, Tensor A, Tensor B, Tensor C, *, Tensor? D=None, "
      "Tensor? dt_bias=None, bool dt_softplus=False, Tensor? initial_state=None, "
      "Tensor? cu_seqlens=None, int chunk_size=0) -> (Tensor output, Tensor final_state)",
      ssd_reference);
  library.def("swiglu(Tensor gate, Tensor up) -> Tensor", swiglu);
  library.def("swiglu_reference(Tensor gate, Tensor up) -> Tensor", swiglu_reference);
}

void link_operators() {}

}  // namespace gamut::ops
