// The iteration on the CPU in the kernel's tiles.
//
// Each matrix is one piece of work for one thread, from norm to result, while its tiles are in that
// core's cache; matrices too large for that are shared among all threads. Every tile is computed in
// the same way by whoever computes it, so results do not depend on the number of threads.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <numeric>

#include "ops/newton_schulz/kernel.h"
#include "ops/newton_schulz/newton_schulz.h"

namespace gamut::ops::matrix_iteration {
namespace {

using at::Tensor;

constexpr int64_t kGroup = 4;                   // tiles a side of a task: 128 elements
constexpr int64_t kSquares = int64_t{1} << 15;  // elements whose squares one task sums

int64_t divided_up(int64_t n, int64_t by) {
  return (n + by - 1) / by;
}

// Memory for a matrix [depth, width] in panels.
struct Storage {
  Storage(int64_t depth, int64_t width, bool bfloat16)
      : memory(at::empty({divided_up(width, kTile) * divided_up(depth, kTile) * kTile * kTile /
                          (bfloat16 ? 2 : 1)},
                         at::kInt)),
        panels{reinterpret_cast<uint32_t*>(memory.mutable_data_ptr<int32_t>()),
               divided_up(depth, kTile) * kTile / (bfloat16 ? 2 : 1)} {}
  Tensor memory;
  Panels panels;
};

class Work {
 public:
  Work(const Tensor& matrix, const Tensor& result, const Iteration& iteration)
      : matrix_(matrix), result_(result), iteration_(&iteration) {}

  // Multiplications, for balancing.
  double cost() const {
    const double rows = static_cast<double>(std::min(matrix_.size(0), matrix_.size(1)));
    const double columns = static_cast<double>(std::max(matrix_.size(0), matrix_.size(1)));
    return rows * rows * (1.5 * columns + 0.5 * rows);
  }

  void run() const;

 private:
  bool is_float() const { return matrix_.scalar_type() == at::kFloat; }
  const float* floats() const { return is_float() ? matrix_.const_data_ptr<float>() : nullptr; }
  const uint16_t* halves() const {
    return is_float() ? nullptr
                      : reinterpret_cast<const uint16_t*>(matrix_.const_data_ptr<at::BFloat16>());
  }
  double norm() const;
  void product(ProductArguments arguments, int64_t rows, int64_t columns) const;

  Tensor matrix_, result_;
  const Iteration* iteration_;
};

double Work::norm() const {
  const int64_t size = matrix_.numel(), tasks = divided_up(size, kSquares);
  std::vector<double> sums(tasks);
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t begin = task * kSquares, n = std::min(kSquares, size - begin);
      sum_squares({is_float() ? floats() + begin : nullptr, is_float() ? nullptr : halves() + begin,
                   n, &sums[task]});
    }
  });
  return std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0));
}

// All tiles of a product [rows, columns], group by group.
void Work::product(ProductArguments arguments, int64_t rows, int64_t columns) const {
  const int64_t row_tiles = divided_up(rows, kTile), column_tiles = divided_up(columns, kTile);
  const int64_t row_groups = divided_up(row_tiles, kGroup);
  const int64_t column_groups = divided_up(column_tiles, kGroup);
  at::parallel_for(0, row_groups * column_groups, 1, [&](int64_t first, int64_t last) {
    for (int64_t group = first; group < last; ++group) {
      ProductArguments part = arguments;
      part.i_begin = group / column_groups * kGroup;
      part.j_begin = group % column_groups * kGroup;
      part.i_end = std::min(part.i_begin + kGroup, row_tiles);
      part.j_end = std::min(part.j_begin + kGroup, column_tiles);
      multiply(part);
    }
  });
}

void Work::run() const {
  const bool bfloat16 = iteration_->dtype == at::kBFloat16;
  const int64_t given_rows = matrix_.size(0), given_columns = matrix_.size(1);
  const bool tall = given_rows > given_columns;
  const int64_t rows = std::min(given_rows, given_columns);
  const int64_t columns = std::max(given_rows, given_columns);
  // X as left or right factor of X^T X; as it is, twice: the old one is read while the new is made.
  const Storage across(columns, rows, bfloat16);
  Storage x(rows, columns, bfloat16), next(rows, columns, bfloat16);
  const Storage gram(rows, rows, bfloat16), polynomial(rows, rows, bfloat16);

  const auto scale = static_cast<float>(1 / (norm() * iteration_->safety + iteration_->eps));
  at::parallel_for(0, divided_up(given_rows, kTile), kGroup, [&](int64_t first, int64_t last) {
    pack({bfloat16, floats(), halves(), given_rows, given_columns, scale,
          tall ? across.panels : x.panels, tall ? x.panels : across.panels, first, last});
  });

  const auto& abc = iteration_->coefficients;
  for (size_t i = 0; i + 2 < abc.size(); i += 3) {
    const auto a = static_cast<float>(abc[i]), b = static_cast<float>(abc[i + 1]);
    const auto c = static_cast<float>(abc[i + 2]);
    ProductArguments to_gram = {
        bfloat16, across.panels,     across.panels, {}, gram.panels, gram.panels, 1, 0, 0, 0, 0,
        0,        /*symmetric=*/true};
    product(to_gram, rows, rows);
    ProductArguments to_polynomial = {bfloat16,
                                      gram.panels,
                                      gram.panels,
                                      gram.panels,
                                      polynomial.panels,
                                      polynomial.panels,
                                      c,
                                      b,
                                      0,
                                      0,
                                      0,
                                      0,
                                      /*symmetric=*/true};
    product(to_polynomial, rows, rows);
    ProductArguments to_next = {
        bfloat16, polynomial.panels,  x.panels, x.panels, next.panels, across.panels, 1, a, 0, 0, 0,
        0,        /*symmetric=*/false};
    product(to_next, rows, columns);
    std::swap(x, next);
  }

  float* to_float = is_float() ? result_.mutable_data_ptr<float>() : nullptr;
  auto* to_half =
      is_float() ? nullptr : reinterpret_cast<uint16_t*>(result_.mutable_data_ptr<at::BFloat16>());
  at::parallel_for(0, divided_up(given_rows, kTile), kGroup, [&](int64_t first, int64_t last) {
    unpack({bfloat16, tall ? across.panels : x.panels, to_float, to_half, given_rows, given_columns,
            first, last});
  });
}

}  // namespace

std::vector<Tensor> fused(at::TensorList matrices, const Iteration& iteration) {
  std::vector<Work> all;
  std::vector<Tensor> results;
  for (const Tensor& matrix : matrices) {
    const bool is_half = matrix.scalar_type() == at::kBFloat16;
    const Tensor source = matrix.to(is_half ? at::kBFloat16 : at::kFloat).contiguous();
    const Tensor result = at::empty_like(source);
    results.push_back(result);
    if (matrix.numel() > 0) all.emplace_back(source, result, iteration);
  }
  // The costly ones first: what remains at the end is small.
  std::stable_sort(all.begin(), all.end(),
                   [](const Work& a, const Work& b) { return a.cost() > b.cost(); });
  double total = 0;
  for (const auto& work : all) total += work.cost();
  const int64_t threads = at::get_num_threads();
  const double large = total / static_cast<double>(4 * threads);
  size_t begin = 0;
  for (; begin < all.size() && all[begin].cost() > large; ++begin) all[begin].run();
  std::atomic<size_t> next{begin};
  at::parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
    for (; first < last; ++first) {
      for (size_t i = next++; i < all.size(); i = next++) all[i].run();
    }
  });
  for (size_t i = 0; i < results.size(); ++i) {
    results[i] = results[i].to(matrices[i].scalar_type());
  }
  return results;
}

}  // namespace gamut::ops::matrix_iteration
