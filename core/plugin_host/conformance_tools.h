// Helpers of the conformance suites.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "plugin_host/guard.h"

namespace gamut::host::conformance {

// Offsets of packed documents, as MixerContext::cu_seqlens.
inline at::Tensor offsets(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}

// Of x [batch, time, ...].
inline at::Tensor steps(const at::Tensor& x, int64_t from, int64_t to) {
  return x.slice(1, from, to);
}

// "what 1.2e-09".
std::string figure(const char* what, double value);

// Largest difference, relative to the largest magnitude of `b`; infinite when there is a NaN.
double relative_error(const at::Tensor& a, const at::Tensor& b);

// |a - b| / |b| as vectors; infinite when there is a NaN. What narrow types are held to: a norm of
// a small vector makes a large error of one step, but of few. `least` stands for |b| where that is
// less.
double error_by_length(const at::Tensor& a, const at::Tensor& b, double least = 1e-30);

// The figure when within bound; throws gamut::Error that begins with `what` otherwise.
std::string expect_close(const at::Tensor& a, const at::Tensor& b, double bound,
                         const std::string& what);

// Equal in shape, dtype and value; NaN differs from itself, as it should here.
bool same_bits(const at::Tensor& a, const at::Tensor& b);

// The plugin's sentence when `call` throws a gamut::Error of its own.
std::string expect_refusal(const std::string& what, const std::function<void()>& call);

}  // namespace gamut::host::conformance
