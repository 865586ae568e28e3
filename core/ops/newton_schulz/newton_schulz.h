// The matrix iteration of Muon (Jordan et al. 2024): from a matrix towards the nearest one whose
// singular values are all 1.
//
//     X = G / (safety |G|_F + eps), then for each (a, b, c):
//     A = X X^T,  X = a X + (b A + c A^2) X
//
// Matrices with more rows than columns are iterated transposed, which gives the same.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace gamut::ops {

// matrices: [rows, columns] each, of any sizes and floating-point types, on one device.
// coefficients: a, b, c of the first step, a, b, c of the second, ...: one step a triple. dtype is
// that of the products' factors: float32, bfloat16 (sums in float32), or, for checking, float64;
// when absent bfloat16 where the device multiplies it faster than float32, else float32. Returns as
// many matrices of the same shapes and types. Zero matrices stay zero. Not differentiable. Throws
// gamut::Error when something does not fit.
std::vector<at::Tensor> newton_schulz(at::TensorList matrices, at::ArrayRef<double> coefficients,
                                      double safety, double eps,
                                      std::optional<at::ScalarType> dtype);

// The same by its definition, one matrix after the other in LibTorch's operators; differentiable.
std::vector<at::Tensor> newton_schulz_reference(at::TensorList matrices,
                                                at::ArrayRef<double> coefficients, double safety,
                                                double eps, std::optional<at::ScalarType> dtype);

namespace matrix_iteration {

struct Iteration {
  at::ArrayRef<double> coefficients;
  double safety, eps;
  at::ScalarType dtype;
};

// All matrices of one shape as a stack in LibTorch's batched products: for GPUs, for float64, and
// for processors whose matrix units (AMX) LibTorch uses.
std::vector<at::Tensor> composed(at::TensorList matrices, const Iteration& iteration);

// The kernel: float32 or bfloat16 on the CPU. A A^T and A A are symmetric, and half of each is
// computed.
std::vector<at::Tensor> fused(at::TensorList matrices, const Iteration& iteration);

}  // namespace matrix_iteration
}  // namespace gamut::ops
