// What rotary positions are asked for, checked.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace gamut::ops {

struct RopeInputs {
  at::Tensor x, cos, sin;
  bool interleaved;
  at::Tensor weight;  // may be undefined, as may gain
  std::optional<double> eps;
  at::Tensor gain;

  int64_t steps() const { return x.size(0) * x.size(1); }
};

}  // namespace gamut::ops
