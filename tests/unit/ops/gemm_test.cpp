// The small matrix products of the kernels against LibTorch's, in every instruction set of this
// CPU.
#include "ops/simd/gemm_probe.h"

#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;

using Probe = void (*)(const GemmProbeArguments&);

std::vector<Probe> probes() {
  std::vector<Probe> found{avx2::gemm_probe};
  if (isa() >= Isa::avx512) found.push_back(avx512::gemm_probe);
  if (isa() >= Isa::avx512_bf16) found.push_back(avx512_bf16::gemm_probe);
  return found;
}

const std::vector<at::ScalarType> kTypes = {at::kFloat, at::kDouble};

double tolerance(at::ScalarType type) {
  return type == at::kDouble ? 1e-14 : 2e-6;
}

struct Sizes {
  int64_t m, n, k;
};

// c = alpha scale (a b) [+ c] through a probe; shapes are those of row-major tensors.
Tensor product(Probe probe, GemmProbe what, const Tensor& a, const Tensor& b, const Tensor& c,
               bool transpose_a, bool add, double alpha, const Tensor& scale) {
  const Tensor stored = transpose_a ? a.t().contiguous() : a;
  Tensor out = c.clone();
  probe({what, a.scalar_type() == at::kDouble, c.size(0), c.size(1), b.size(0), stored.data_ptr(),
         transpose_a, b.data_ptr(), out.mutable_data_ptr(), add, alpha,
         scale.defined() ? scale.data_ptr() : nullptr});
  return out;
}

TEST(Gemm, EqualsMatmul) {
  at::manual_seed(1);
  const std::vector<Sizes> sizes = {{1, 16, 1},  {8, 16, 5},  {32, 48, 7},  {13, 64, 33},
                                    {7, 80, 42}, {16, 96, 3}, {3, 112, 64}, {42, 128, 0}};
  for (const auto type : kTypes) {
    for (const auto& s : sizes) {
      SCOPED_TRACE(testing::Message() << s.m << " x " << s.n << " x " << s.k << " " << type);
      const auto a = at::randn({s.m, s.k}, type), b = at::randn({s.k, s.n}, type),
                 c = at::randn({s.m, s.n}, type), scale = at::randn({s.m}, type);
      for (const auto probe : probes()) {
        for (const bool transpose : {false, true}) {
          EXPECT_CLOSE(product(probe, GemmProbe::full, a, b, c, transpose, false, 1, {}),
                       at::matmul(a, b), tolerance(type));
          EXPECT_CLOSE(product(probe, GemmProbe::full, a, b, c, transpose, true, -0.5, scale),
                       c - 0.5 * scale.unsqueeze(1) * at::matmul(a, b), tolerance(type));
        }
      }
    }
  }
}

TEST(Gemm, TriangularOperandsAreReadWhereTheyAreNotZero) {
  at::manual_seed(2);
  for (const auto type : kTypes) {
    for (const int64_t m : {1, 5, 16, 37, 64}) {
      const auto a = at::randn({m, m}, type), b = at::randn({m, 48}, type),
                 c = at::zeros({m, 48}, type);
      // Tiles on the diagonal are read in full, so zeros are needed there; elsewhere NaN is not
      // met.
      const auto nan = at::full({m, m}, NAN, at::TensorOptions().dtype(type));
      const auto lower = a.tril() + at::where(nan.triu(8).isnan(), nan, at::zeros_like(nan)),
                 upper = a.triu() + at::where(nan.tril(-8).isnan(), nan, at::zeros_like(nan));
      for (const auto probe : probes()) {
        for (const bool transpose : {false, true}) {
          EXPECT_CLOSE(product(probe, GemmProbe::lower, lower, b, c, transpose, false, 1, {}),
                       at::matmul(a.tril(), b), tolerance(type));
          EXPECT_CLOSE(product(probe, GemmProbe::upper, upper, b, c, transpose, false, 1, {}),
                       at::matmul(a.triu(), b), tolerance(type));
        }
      }
    }
  }
}

TEST(Gemm, ComputesTheLowerTriangleOfAResult) {
  at::manual_seed(3);
  for (const auto type : kTypes) {
    for (const int64_t m : {16, 32, 48, 80}) {
      const auto a = at::randn({m, 21}, type), b = at::randn({21, m}, type),
                 c = at::randn({m, m}, type), scale = at::randn({m}, type);
      for (const auto probe : probes()) {
        const auto got = product(probe, GemmProbe::lower_result, a, b, c, false, true, 2, scale);
        EXPECT_CLOSE(got.tril(), (c + 2 * scale.unsqueeze(1) * at::matmul(a, b)).tril(),
                     tolerance(type));
      }
    }
  }
}

TEST(Gemm, SolvesUnitTriangularSystems) {
  at::manual_seed(4);
  for (const auto type : kTypes) {
    for (const int64_t m : {8, 16, 40, 64}) {
      for (const int64_t n : {16, 48, 80}) {
        const auto a = at::randn({m, m}, type) / static_cast<double>(m),
                   r = at::randn({m, n}, type);
        const auto system = a.tril(-1) + at::eye(m, a.options());
        for (const auto probe : probes()) {
          for (const bool transposed : {false, true}) {
            const auto what = transposed ? GemmProbe::solve_transposed : GemmProbe::solve;
            Tensor x = r.clone();
            probe({what, type == at::kDouble, m, n, 0, a.data_ptr(), false, nullptr,
                   x.mutable_data_ptr(), false, 1, nullptr});
            EXPECT_CLOSE(at::matmul(transposed ? system.t() : system, x), r, tolerance(type));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace gamut::ops
