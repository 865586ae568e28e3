// Three batched products a step, the sums folded into them; matrices of one shape, those that lie
// on their side with those that stand, are one stack. Around the products a stack takes a handful
// of passes whatever the number of its matrices, which is what counts where a pass is a launch.
#include <ATen/ATen.h>

#include <map>
#include <tuple>

#include "ops/newton_schulz/newton_schulz.h"

namespace gamut::ops::matrix_iteration {
namespace {

using at::Tensor;

// At most this many elements are iterated at a time, which bounds the extra memory to a few times
// its size.
constexpr int64_t kStackElements = int64_t{1} << 25;

// Positions in the list of matrices [rows, columns] of one stack: first those with rows <= columns,
// then the others, which enter it transposed.
struct Members {
  std::vector<size_t> flat, tall;

  size_t size() const { return flat.size() + tall.size(); }
};

std::vector<Members> stacks_of(at::TensorList matrices) {
  using Kind = std::tuple<at::ScalarType, int64_t, int64_t>;
  std::map<Kind, std::vector<Members>> kinds;
  for (size_t i = 0; i < matrices.size(); ++i) {
    const int64_t rows = matrices[i].size(0), columns = matrices[i].size(1);
    auto& stacks =
        kinds[{matrices[i].scalar_type(), std::min(rows, columns), std::max(rows, columns)}];
    const auto most = kStackElements / std::max<int64_t>(rows * columns, 1);
    if (stacks.empty() || static_cast<int64_t>(stacks.back().size()) >= most) stacks.emplace_back();
    auto& stack = stacks.back();
    (rows > columns ? stack.tall : stack.flat).push_back(i);
  }
  std::vector<Members> all;
  for (const auto& [kind, stacks] : kinds) all.insert(all.end(), stacks.begin(), stacks.end());
  return all;
}

// [n, rows, columns] with rows <= columns, each divided by safety |G|_F + eps and rounded once.
Tensor normalised(at::TensorList matrices, const Members& members, const Iteration& iteration) {
  std::vector<Tensor> lying;
  lying.reserve(members.size());
  for (const size_t i : members.flat) lying.push_back(matrices[i]);
  for (const size_t i : members.tall) lying.push_back(matrices[i].t());
  const bool is_double = iteration.dtype == at::kDouble;
  const Tensor stack = at::stack(lying).to(is_double ? at::kDouble : at::kFloat);
  Tensor divisor = at::linalg_vector_norm(stack, 2, at::IntArrayRef({-2, -1}), /*keepdim=*/true);
  if (iteration.safety != 1) divisor.mul_(iteration.safety);
  divisor.add_(iteration.eps);
  Tensor x = at::empty(stack.sizes(), stack.options().dtype(iteration.dtype));
  at::div_out(x, stack, divisor);
  return x;
}

Tensor iterate(Tensor x, const Iteration& iteration) {
  const auto& abc = iteration.coefficients;
  for (size_t i = 0; i + 2 < abc.size(); i += 3) {
    const Tensor gram = at::bmm(x, x.mT());
    const Tensor polynomial =
        at::baddbmm(gram, gram, gram, /*beta=*/abc[i + 1], /*alpha=*/abc[i + 2]);
    x = at::baddbmm(x, polynomial, x, /*beta=*/abc[i]);
  }
  return x;
}

// Hands the matrices of `stack` [n, ...] to their places, all converted at once.
void hand_out(const Tensor& stack, const std::vector<size_t>& places, at::TensorList matrices,
              std::vector<Tensor>& results) {
  if (places.empty()) return;
  const auto type = matrices[places[0]].scalar_type();
  const bool ready = stack.is_contiguous() && stack.scalar_type() == type;
  const Tensor all =
      ready ? stack : at::empty(stack.sizes(), stack.options().dtype(type)).copy_(stack);
  for (size_t i = 0; i < places.size(); ++i) {
    results[places[i]] = all.select(0, static_cast<int64_t>(i));
  }
}

}  // namespace

std::vector<Tensor> composed(at::TensorList matrices, const Iteration& iteration) {
  std::vector<Tensor> results(matrices.size());
  for (const auto& members : stacks_of(matrices)) {
    const Tensor x = iterate(normalised(matrices, members, iteration), iteration);
    const auto flat = static_cast<int64_t>(members.flat.size());
    hand_out(x.narrow(0, 0, flat), members.flat, matrices, results);
    hand_out(x.narrow(0, flat, x.size(0) - flat).mT(), members.tall, matrices, results);
  }
  return results;
}

}  // namespace gamut::ops::matrix_iteration
