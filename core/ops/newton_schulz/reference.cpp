// The definition of the iteration: what tests compare the other forms with.
#include <ATen/ATen.h>

#include "ops/newton_schulz/newton_schulz.h"

namespace gamut::ops {

std::vector<at::Tensor> newton_schulz_reference(at::TensorList matrices,
                                                at::ArrayRef<double> coefficients, double safety,
                                                double eps, std::optional<at::ScalarType> dtype) {
  std::vector<at::Tensor> results;
  for (const at::Tensor& matrix : matrices) {
    const bool tall = matrix.size(0) > matrix.size(1);
    at::Tensor x = matrix.to(dtype.value_or(matrix.scalar_type()));
    if (tall) x = x.t();
    x = x / (x.norm() * safety + eps);
    for (size_t i = 0; i + 2 < coefficients.size(); i += 3) {
      const double a = coefficients[i], b = coefficients[i + 1], c = coefficients[i + 2];
      const at::Tensor gram = x.mm(x.t());
      x = a * x + (b * gram + c * gram.mm(gram)).mm(x);
    }
    results.push_back((tall ? x.t() : x).to(matrix.scalar_type()));
  }
  return results;
}

}  // namespace gamut::ops
