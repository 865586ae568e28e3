// Products of a matrix with a few rows: every weight is read once, which is what they cost.
#include "ops/linears/kernel.h"

#include "ops/simd/vec.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

constexpr int64_t kWidth = kLanes<float>;
constexpr int kUnrolled = 4;

// Rows `row` to `row + R` of x against one row of the weight.
template <class E, int R>
GAMUT_INLINE void products(const FewRowsArguments& a, const E* weight, int64_t row, int64_t n) {
  const E* x = static_cast<const E*>(a.x) + row * a.size;
  Vec<float> sums[R][kUnrolled] = {};
  int64_t i = 0;
  for (; i + kUnrolled * kWidth <= a.size; i += kUnrolled * kWidth) {
    for (int u = 0; u < kUnrolled; ++u) {
      const Vec<float> w = load(weight + i + u * kWidth);
      for (int r = 0; r < R; ++r) sums[r][u] += w * load(x + r * a.size + i + u * kWidth);
    }
  }
  for (; i < a.size; i += kWidth) {
    const int left = a.size - i < kWidth ? static_cast<int>(a.size - i) : 0;
    const Vec<float> w = left ? load_first(weight + i, left) : load(weight + i);
    for (int r = 0; r < R; ++r) {
      const E* at = x + r * a.size + i;
      sums[r][0] += w * (left ? load_first(at, left) : load(at));
    }
  }
  E* y = static_cast<E*>(a.y) + row * a.outputs + n;
  for (int r = 0; r < R; ++r) {
    store_one(y + r * a.outputs, sum((sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3])));
  }
}

template <class E>
void run(const FewRowsArguments& a) {
  for (int64_t n = a.begin; n < a.end; ++n) {
    const E* weight = static_cast<const E*>(a.weight) + n * a.size;
    int64_t row = 0;
    for (; row + 4 <= a.rows; row += 4) products<E, 4>(a, weight, row, n);
    if (row + 2 <= a.rows) {
      products<E, 2>(a, weight, row, n);
      row += 2;
    }
    if (row < a.rows) products<E, 1>(a, weight, row, n);
  }
}

}  // namespace

void few_rows(const FewRowsArguments& a) {
  a.element == Element::bfloat16 ? run<BFloat16>(a) : run<float>(a);
}

}  // namespace gamut::ops::GAMUT_ISA
