// Mamba-2: a recurrence with one decay a head and a matrix as its state, gated norm behind it.
#pragma once

#include "layer.h"

namespace gamut::mamba {

class Mamba2 final : public Layer {
 public:
  explicit Mamba2(const Options& options);

  // x [batch, time, n_heads, head_dim], dt (before its bias and softplus) [batch, time, n_heads],
  // B and C [batch, time, n_groups, d_state], z [batch, time, d_inner].
  NamedTensors project(const at::Tensor& x, MixerContext& context) override;
  Scan scan(const NamedTensors& features, const Memory& memory,
            const at::Tensor& cu_seqlens) override;
  at::Tensor read(const NamedTensors& features, const Memory& memories) override;
  at::Tensor queries(const NamedTensors& features) override;
  at::Tensor keys(const NamedTensors& features) override;
  at::Tensor finish(const at::Tensor& read, const NamedTensors& features,
                    MixerContext& context) override;

 private:
  void make_heads(const Options& options);
  at::Tensor gated_norm(const at::Tensor& y, const at::Tensor& z) const;
  Mixed mix(const NamedTensors& features, const std::optional<at::Tensor>& state,
            const at::Tensor& cu_seqlens) const override;
  std::vector<int64_t> state_shape(int64_t rows) const override {
    return {rows, n_heads_, head_dim_, d_state_};
  }

  const int64_t head_dim_, n_heads_, n_groups_, chunk_size_;
  const bool norm_before_gate_;
  const double norm_eps_;
  at::Tensor dt_bias_, norm_;
};

}  // namespace gamut::mamba
