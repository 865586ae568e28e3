// Mamba-1: a selective diagonal recurrence in each channel.
#pragma once

#include "layer.h"

namespace gamut::mamba {

class Mamba1 final : public Layer {
 public:
  explicit Mamba1(const Options& options);

  // u, delta (before its bias and softplus), z [batch, time, d_inner], B and C [batch, time,
  // d_state].
  NamedTensors project(const at::Tensor& x, MixerContext& context) override;
  Scan scan(const NamedTensors& features, const Memory& memory,
            const at::Tensor& cu_seqlens) override;
  at::Tensor read(const NamedTensors& features, const Memory& memories) override;
  at::Tensor queries(const NamedTensors& features) override;
  at::Tensor keys(const NamedTensors& features) override;
  at::Tensor finish(const at::Tensor& read, const NamedTensors& features,
                    MixerContext& context) override;

 private:
  Mixed mix(const NamedTensors& features, const std::optional<at::Tensor>& state,
            const at::Tensor& cu_seqlens) const override;
  std::vector<int64_t> state_shape(int64_t rows) const override {
    return {rows, d_inner_, d_state_};
  }

  const int64_t dt_rank_;
  Linear x_proj_, dt_proj_;  // the bias of the second belongs to the scan
};

}  // namespace gamut::mamba
