// gamut::newton_schulz against its definition in float64: sizes around the kernel's tiles, types,
// layouts, thread counts.

#include "ops/newton_schulz/newton_schulz.h"
#include "ops/simd/isa.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;

const std::vector<double> kKeller = {3.4445, -4.7750, 2.0315};

std::vector<double> steps(int n) {
  std::vector<double> all;
  for (int i = 0; i < n; ++i) all.insert(all.end(), kKeller.begin(), kKeller.end());
  return all;
}

// Singular values within [0.2, 1] of the largest: 5 steps of bfloat16 stay near the definition.
Tensor matrix(int64_t rows, int64_t columns) {
  const Tensor g = at::randn({rows, columns}, at::kDouble);
  auto [u, s, v] = at::linalg_svd(g, /*full_matrices=*/false);
  return at::matmul(u * (0.2 + 0.8 * at::rand_like(s)), v);
}

Tensor one(const Tensor& g, const std::vector<double>& abc, at::ScalarType dtype) {
  return newton_schulz({g}, abc, 1.0, 1e-7, dtype)[0];
}
Tensor expected(const Tensor& g, const std::vector<double>& abc) {
  return newton_schulz_reference({g.to(at::kDouble)}, abc, 1.0, 1e-7, at::kDouble)[0];
}

class NewtonSchulz : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(1);
    try {
      isa();
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
};

const std::vector<std::pair<int64_t, int64_t>> kSizes = {
    {1, 1},   {1, 5},   {5, 1},    {31, 33},  {32, 32},   {64, 32},
    {8, 448}, {448, 8}, {33, 130}, {257, 96}, {200, 200}, {129, 300}};

TEST_F(NewtonSchulz, IsItsDefinitionInFloat32) {
  for (const auto& [rows, columns] : kSizes) {
    const Tensor g = matrix(rows, columns).to(at::kFloat);
    EXPECT_CLOSE(one(g, steps(5), at::kFloat), expected(g, steps(5)), 2e-5)
        << rows << "x" << columns;
  }
}

// A step multiplies an error of the factors, 2^-9 each, by a few.
TEST_F(NewtonSchulz, IsItsDefinitionInBFloat16) {
  for (const auto& [rows, columns] : kSizes) {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      const Tensor g = matrix(rows, columns).to(dtype);
      const Tensor got = one(g, steps(1), at::kBFloat16);
      EXPECT_EQ(got.scalar_type(), dtype);
      EXPECT_CLOSE(got, expected(g, steps(1)), 0.015) << rows << "x" << columns;
      EXPECT_CLOSE(one(g, steps(5), at::kBFloat16), expected(g, steps(5)), 0.08)
          << rows << "x" << columns;
    }
  }
}

TEST_F(NewtonSchulz, IsItsDefinitionInFloat64) {
  for (const auto& [rows, columns] : kSizes) {
    const Tensor g = matrix(rows, columns);
    EXPECT_CLOSE(one(g, steps(5), at::kDouble), expected(g, steps(5)), 1e-12);
  }
}

TEST_F(NewtonSchulz, EachStepHasItsCoefficients) {
  const std::vector<double> abc = {8.2, -22.5, 15.9, 4.04, -2.81, 0.5};
  const Tensor g = matrix(40, 70).to(at::kFloat);
  EXPECT_CLOSE(newton_schulz({g}, abc, 1.02, 1e-3, at::kFloat)[0],
               newton_schulz_reference({g.to(at::kDouble)}, abc, 1.02, 1e-3, at::kDouble)[0], 2e-5);
}

TEST_F(NewtonSchulz, AListOfAnyShapesAndLayouts) {
  const std::vector<Tensor> list = {matrix(40, 70).to(at::kFloat),
                                    matrix(70, 40).to(at::kFloat).t(),
                                    matrix(100, 5),
                                    matrix(8, 8).to(at::kBFloat16),
                                    at::zeros({0, 4}),
                                    at::zeros({3, 4})};
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    const auto results = newton_schulz(list, steps(3), 1.0, 1e-7, dtype);
    ASSERT_EQ(results.size(), list.size());
    for (size_t i = 0; i < list.size(); ++i) {
      EXPECT_EQ(results[i].sizes(), list[i].sizes());
      EXPECT_EQ(results[i].scalar_type(), list[i].scalar_type());
      EXPECT_TRUE(at::equal(results[i], one(list[i].contiguous(), steps(3), dtype))) << i;
    }
    EXPECT_TRUE(at::equal(results.back(), at::zeros({3, 4}))) << "zeros stay zeros";
  }
  EXPECT_TRUE(newton_schulz({}, steps(1), 1.0, 1e-7, {}).empty());
}

// One large matrix is shared by the threads, many small ones are distributed.
TEST_F(NewtonSchulz, ThreadsDoNotChangeResults) {
  std::vector<Tensor> many = {at::randn({300, 260})};
  for (int i = 0; i < 9; ++i) many.push_back(at::randn({40 + i, 64}));
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto on = [&](int count) {
      const test::Threads threads(count);
      return newton_schulz(many, steps(2), 1.0, 1e-7, dtype);
    };
    const auto alone = on(1), together = on(3);
    for (size_t i = 0; i < many.size(); ++i) EXPECT_TRUE(at::equal(alone[i], together[i])) << i;
  }
}

TEST_F(NewtonSchulz, NaNStaysNaN) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    Tensor g = at::randn({40, 40});
    g[3][4] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(at::isnan(one(g, steps(2), dtype)).all().item<bool>());
  }
}

std::string refusal(at::TensorList list, const std::vector<double>& abc, at::ScalarType dtype) {
  return test::error_of([&] { newton_schulz(list, abc, 1.0, 1e-7, dtype); });
}

TEST_F(NewtonSchulz, RefusesInSentences) {
  using ::testing::HasSubstr;
  const Tensor g = at::randn({4, 4});
  EXPECT_THAT(refusal({g}, {1, 2}, at::kFloat), HasSubstr("three numbers a step; there are 2"));
  EXPECT_THAT(refusal({g}, {}, at::kFloat), HasSubstr("there are 0"));
  EXPECT_THAT(refusal({g}, kKeller, at::kHalf), HasSubstr("not Half"));
  EXPECT_THAT(refusal({g, at::randn({4})}, kKeller, at::kFloat), HasSubstr("entry 1"));
  EXPECT_THAT(refusal({g.to(at::kLong)}, kKeller, at::kFloat), HasSubstr("it is Long"));
}

}  // namespace
}  // namespace gamut::ops
