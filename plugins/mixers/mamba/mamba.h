// The plugin: Mamba-1 or Mamba-2 by the option `version`.
#pragma once

#include <memory>

#include "layer.h"

namespace gamut::mamba {

class Mamba final : public Mixer {
 public:
  static OptionTable options();
  Mamba(const Options& options, Host& host);

  at::Tensor forward(const at::Tensor& x, MixerContext& context) override {
    return layer_->forward(x, context);
  }
  State new_state(int64_t batch) const override { return layer_->new_state(batch); }
  void* query(std::string_view id) override { return layer_->query(id); }

 private:
  std::unique_ptr<Layer> layer_;
};

}  // namespace gamut::mamba
