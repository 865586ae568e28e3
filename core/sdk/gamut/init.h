// Initial weights with PyTorch's seed discipline: drawn from the default CPU generator in float32,
// so that the same seed and order give PyTorch's numbers.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <gamut/error.h>

#include <cmath>
#include <string>

namespace gamut::init {

// N(0, std^2).
inline at::Tensor normal(at::IntArrayRef shape, double std) {
  return at::empty(shape, at::kFloat).normal_(0.0, std);
}

inline at::Tensor uniform(at::IntArrayRef shape, double low, double high) {
  return at::empty(shape, at::kFloat).uniform_(low, high);
}

// Inputs and outputs of one unit, as torch.nn.init counts them: trailing dimensions of a
// convolution multiply both.
struct Fan {
  double in, out;
};
inline Fan fan(at::IntArrayRef shape) {
  GAMUT_CHECK(shape.size() >= 2,
              "fan-based initialisation needs a weight of two or more "
              "dimensions, not ",
              shape);
  double field = 1;
  for (size_t i = 2; i < shape.size(); ++i) field *= static_cast<double>(shape[i]);
  return {static_cast<double>(shape[1]) * field, static_cast<double>(shape[0]) * field};
}

// torch.nn.init.xavier_uniform_.
inline at::Tensor xavier_uniform(at::IntArrayRef shape) {
  const auto f = fan(shape);
  const double bound = std::sqrt(3.0) * std::sqrt(2.0 / (f.in + f.out));
  return uniform(shape, -bound, bound);
}

// What torch.nn.Linear and torch.nn.Conv1d start from: kaiming_uniform_ with a = sqrt(5), that is
// U(-1/sqrt(fan_in), 1/sqrt(fan_in)), computed in the same steps.
inline at::Tensor kaiming_uniform(at::IntArrayRef shape) {
  const double gain = std::sqrt(2.0 / (1.0 + 5.0));
  const double bound = std::sqrt(3.0) * (gain / std::sqrt(fan(shape).in));
  return uniform(shape, -bound, bound);
}

// By the name of an option: "normal" (with `std`), "xavier" or "kaiming".
inline at::Tensor weight(const std::string& scheme, at::IntArrayRef shape, double std) {
  if (scheme == "normal") return normal(shape, std);
  if (scheme == "xavier") return xavier_uniform(shape);
  GAMUT_CHECK(scheme == "kaiming", "no initialisation is called `", scheme,
              "`; there are normal, xavier and kaiming");
  return kaiming_uniform(shape);
}

// `w` times `factor`, in place; 0 gives plain zeros, with no negative ones.
inline at::Tensor scaled(at::Tensor w, double factor) {
  return factor == 0 ? w.zero_() : w.mul_(factor);
}

}  // namespace gamut::init
