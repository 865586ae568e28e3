// Gated DeltaNet as a layer: projections, short convolutions, the gated delta rule, gated norm.
#pragma once

#include <gamut/documents.h>
#include <gamut/plugin.h>
#include <gamut/recurrent.h>
#include <gamut/weight_layouts.h>

#include <optional>
#include <string>
#include <vector>

namespace gamut::gdn {

// How queries and keys are normalised; the option qk_norm.
enum class QkNorm { l2, l2_clamp, rms_l2, none };

class Gdn final : public RecurrentMixer, public WeightImport {
 public:
  static OptionTable options();
  Gdn(const Options& given, Host& host);

  // "q_conv", "k_conv", "v_conv" (with short convolutions): the last conv_size - 1 projected
  // steps, [batch, conv_size - 1, channels]; "recurrent": [batch, n_v_heads, d_k, d_v], which is
  // the memory.
  State new_state(int64_t batch) const override;

  // Features q, k [batch, time, n_heads, d_k], v and gate [batch, time, n_v_heads, d_v] in the
  // dtype of the projections, g and beta [batch, time, n_v_heads] in that of computation. Reads are
  // [batch, time, n_v_heads, d_v] in the dtype of v.
  std::vector<std::string> memory_names() const override { return {"recurrent"}; }
  NamedTensors project(const at::Tensor& x, MixerContext& context) override;
  Scan scan(const NamedTensors& features, const Memory& memory,
            const at::Tensor& cu_seqlens) override;
  at::Tensor read(const NamedTensors& features, const Memory& memories) override;
  at::Tensor queries(const NamedTensors& features) override;
  at::Tensor keys(const NamedTensors& features) override;
  at::Tensor finish(const at::Tensor& read, const NamedTensors& features,
                    MixerContext& context) override;

  std::optional<NamedTensors> import_weights(const NamedTensors& given) const override;
  void* query(std::string_view id) override;

 private:
  explicit Gdn(const Options& options);
  void make_projections(const Options& options);
  void make_gates(const Options& options);
  void make_norms();
  at::Tensor draw(at::IntArrayRef shape) const;
  void check_input(const at::Tensor& x, const State* state) const;
  at::ScalarType compute_dtype() const;
  at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const char* state_name,
                      const Documents& documents, State* state, bool is_normed) const;
  at::Tensor convolve_heads(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& norm,
                            const char* state_name, const Documents& documents, State* state) const;
  at::Tensor normalize_heads(const at::Tensor& x, const at::Tensor& weight) const;
  at::Tensor log_decay(const at::Tensor& a) const;
  at::Tensor write_strength(const at::Tensor& b) const;

  int64_t d_model_, heads_, value_heads_, d_k_, d_v_, conv_size_, chunk_size_;
  bool use_conv_, use_gate_, use_out_norm_, use_silu_, negative_eigenvalues_;
  QkNorm qk_norm_;
  std::string init_;
  double norm_eps_, dropout_, scale_, init_std_;
  at::Tensor q_proj_, k_proj_, v_proj_, a_proj_, b_proj_, g_proj_, o_proj_;
  at::Tensor q_conv_, k_conv_, v_conv_;
  at::Tensor a_log_, dt_bias_;  // decay "mamba"
  at::Tensor a_bias_, b_bias_;  // decay "sigmoid"; b_bias
  at::Tensor q_norm_, k_norm_, o_norm_;
};

}  // namespace gamut::gdn
