// The matrix iteration of Muon: from a matrix to the nearest one with all singular values near 1.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

namespace gamut::muon {

struct Iteration {
  // (a, b, c) of X <- a X + (b A + c A^2) X with A = X X^T, one triple a step; the last repeats.
  std::vector<std::array<double, 3>> coefficients;
  // X / (safety * |X|_F + eps) before the first step.
  double safety = 1.0;
  double eps = 1e-7;
};

// "keller": Jordan's fixed quintic. "polar_express": Amsel et al., arXiv 2505.16932, table for
// five steps with a margin of 2 % for bfloat16.
const Iteration& iteration(const std::string& name);

// x [n, rows, columns] with rows <= columns -> each matrix orthogonalised, in the dtype of x. Zero
// matrices stay zero.
at::Tensor orthogonalize(const at::Tensor& x, const Iteration& iteration, int64_t steps);

}  // namespace gamut::muon
