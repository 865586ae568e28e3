// The matrix iteration of Muon (Jordan et al. 2024): from a matrix towards the nearest one whose
// singular values are all 1.
//
//     X = G / (safety |G|_F + eps), then for each (a, b, c):
//     A = X X^T,  X = a X + (b A + c A^2) X
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <vector>

namespace gamut::ops {

// matrices: [rows, columns] each, of any sizes and floating-point types, on one device.
// coefficients: a, b, c of each step, one after the other. dtype is that of the products' factors:
// float32, bfloat16, or, for checking, float64; when absent bfloat16 where the device multiplies it
// faster than float32, else float32. Returns as many matrices of the same shapes and types. Zero
// matrices stay zero. Not differentiable. Throws gamut::Error when something does not fit.
static inline std::vector<at::Tensor> newton_schulz(at::TensorList matrices,
                                                    at::ArrayRef<double> coefficients,
                                                    double safety = 1, double eps = 1e-7,
                                                    std::optional<at::ScalarType> dtype = {}) {
  using Signature = std::vector<at::Tensor>(at::TensorList, at::ArrayRef<double>, double, double,
                                            std::optional<at::ScalarType>);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("gamut::newton_schulz", "").typed<Signature>();
  return call.call(matrices, coefficients, safety, eps, dtype);
}

}  // namespace gamut::ops
