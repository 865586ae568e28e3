// Three batched products a step, the sums folded into them.
#include <ATen/ATen.h>

#include <map>
#include <utility>

#include "ops/newton_schulz/newton_schulz.h"

namespace gamut::ops::matrix_iteration {
namespace {

using at::Tensor;

// Matrices of one shape are iterated as a stack of at most this many elements, which bounds the
// extra memory to a few times its size.
constexpr int64_t kStackElements = int64_t{1} << 25;

// x [n, rows, columns] with rows <= columns.
Tensor iterate(Tensor x, const Iteration& iteration) {
  const Tensor norm = at::linalg_vector_norm(x, 2, at::IntArrayRef({-2, -1}), /*keepdim=*/true);
  x = x / (norm * iteration.safety + iteration.eps);
  const auto& abc = iteration.coefficients;
  for (size_t i = 0; i + 2 < abc.size(); i += 3) {
    const Tensor gram = at::bmm(x, x.mT());
    const Tensor polynomial =
        at::baddbmm(gram, gram, gram, /*beta=*/abc[i + 1], /*alpha=*/abc[i + 2]);
    x = at::baddbmm(x, polynomial, x, /*beta=*/abc[i]);
  }
  return x;
}

}  // namespace

std::vector<Tensor> composed(at::TensorList matrices, const Iteration& iteration) {
  std::map<std::pair<int64_t, int64_t>, std::vector<size_t>> by_shape;  // laid flat side up
  for (size_t i = 0; i < matrices.size(); ++i) {
    const int64_t rows = matrices[i].size(0), columns = matrices[i].size(1);
    by_shape[{std::min(rows, columns), std::max(rows, columns)}].push_back(i);
  }
  std::vector<Tensor> results(matrices.size());
  for (const auto& [shape, members] : by_shape) {
    const size_t at_once =
        std::max<int64_t>(kStackElements / std::max<int64_t>(shape.first * shape.second, 1), 1);
    for (size_t begin = 0; begin < members.size(); begin += at_once) {
      const size_t end = std::min(begin + at_once, members.size());
      std::vector<Tensor> flat;
      for (size_t i = begin; i < end; ++i) {
        const Tensor& matrix = matrices[members[i]];
        const bool tall = matrix.size(0) > matrix.size(1);
        flat.push_back((tall ? matrix.t() : matrix).to(iteration.dtype));
      }
      const Tensor stack = iterate(at::stack(flat), iteration);
      for (size_t i = begin; i < end; ++i) {
        const Tensor& matrix = matrices[members[i]];
        const Tensor result = stack[static_cast<int64_t>(i - begin)].to(matrix.scalar_type());
        results[members[i]] = matrix.size(0) > matrix.size(1) ? result.t() : result;
      }
    }
  }
  return results;
}

}  // namespace gamut::ops::matrix_iteration
