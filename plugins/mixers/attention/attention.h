// Causal softmax attention as a layer: grouped heads, rotary positions, query and key norms.
#pragma once

#include <gamut/documents.h>
#include <gamut/mixer.h>
#include <gamut/plugin.h>

#include <string>

#include "rope.h"

namespace gamut::attention {

class Attention final : public Mixer {
 public:
  static OptionTable options();
  Attention(const Options& options, Host& host);

  at::Tensor forward(const at::Tensor& x, MixerContext& context) override;
  // "k", "v": [batch, n_kv_heads, steps, head_dim], keys normalised and rotated; "position": int64
  // [batch] on the CPU, how many steps of its current document each row has read.
  State new_state(int64_t batch) const override;

 private:
  struct Heads {
    at::Tensor q, k, v;  // [batch, heads, time, head_dim]
  };
  void check_input(const at::Tensor& x) const;
  at::Tensor normalize(const at::Tensor& x, const at::Tensor& weight) const;
  at::Tensor positions(const at::Tensor& read, const Documents& documents,
                       const MixerContext& context) const;
  Heads project(const at::Tensor& x, const at::Tensor& positions) const;
  at::Tensor by_document(const Heads& now, const at::Tensor& k, const at::Tensor& v,
                         const at::Tensor& read, const Documents& documents) const;
  void update(State& state, const at::Tensor& k, const at::Tensor& v, const at::Tensor& read,
              const Documents& documents) const;

  int64_t d_model_, heads_, kv_heads_, head_dim_, window_;
  std::string qk_norm_;
  double qk_norm_eps_, dropout_, scale_;
  Rope rope_;
  at::Tensor q_proj_, k_proj_, v_proj_, o_proj_;
  at::Tensor q_norm_, k_norm_, q_gain_;
};

}  // namespace gamut::attention
