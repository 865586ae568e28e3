// Gated DeltaNet as a layer: projections, short convolutions, the gated delta rule, gated norm.
#pragma once

#include <gamut/documents.h>
#include <gamut/mixer.h>
#include <gamut/plugin.h>

#include <string>

namespace gamut::gdn {

struct DeltaRuleInput {
  at::Tensor q, k, v, g, beta;  // as gamut::ops::gated_delta_rule takes them
  at::Tensor initial_state;     // one a document; undefined: zero
};

class Gdn final : public Mixer {
 public:
  static OptionTable options();
  Gdn(const Options& options, Host& host);

  at::Tensor forward(const at::Tensor& x, MixerContext& context) override;
  // "q_conv", "k_conv", "v_conv" (with short convolutions): the last conv_size - 1 projected
  // steps, [batch, conv_size - 1, channels]; "recurrent": [batch, n_v_heads, d_k, d_v].
  State new_state(int64_t batch) const override;

 private:
  void make_projections(const Options& options);
  void make_gates(const Options& options);
  void make_norms();
  at::Tensor draw(at::IntArrayRef shape) const;
  void check_input(const at::Tensor& x) const;
  at::ScalarType compute_dtype() const;
  at::Tensor project(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& conv,
                     const char* state_name, const Documents& documents, State* state) const;
  at::Tensor normalize(const at::Tensor& x, const at::Tensor& weight) const;
  at::Tensor log_decay(const at::Tensor& x) const;
  at::Tensor write_strength(const at::Tensor& x) const;
  at::Tensor mix(DeltaRuleInput input, const Documents& documents, State* state) const;

  int64_t d_model_, heads_, value_heads_, d_k_, d_v_, conv_size_, chunk_size_;
  bool use_conv_, use_gate_, use_out_norm_, negative_eigenvalues_;
  std::string qk_norm_, init_;
  double norm_eps_, dropout_, scale_, init_std_;
  at::Tensor q_proj_, k_proj_, v_proj_, a_proj_, b_proj_, g_proj_, o_proj_;
  at::Tensor q_conv_, k_conv_, v_conv_;
  at::Tensor a_log_, dt_bias_;  // decay "mamba"
  at::Tensor a_bias_, b_bias_;  // decay "sigmoid"; b_bias
  at::Tensor q_norm_, k_norm_, o_norm_;
};

}  // namespace gamut::gdn
