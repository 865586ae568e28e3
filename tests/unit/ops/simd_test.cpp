// The vector functions that all kernels share, in every instruction set that this CPU has.
#include "ops/simd/exp_rate.h"
#include "ops/simd/exp_sums.h"
#include "ops/simd/probe.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace gamut::ops {
namespace {

using Probe = void (*)(const ProbeArguments&);

std::vector<Probe> probes() {
  std::vector<Probe> found{avx2::probe};
  if (isa() >= Isa::avx512) found.push_back(avx512::probe);
  if (isa() >= Isa::avx512_bf16) found.push_back(avx512_bf16::probe);
  return found;
}

struct Probed {
  std::vector<float> exp, exp2_of_product, softplus, softplus_slope;
  std::vector<uint16_t> bfloat16;
};

constexpr float kFactor = 1.3f;

Probed run(Probe probe, const std::vector<float>& in) {
  const std::vector<float> empty(in.size());
  Probed out{empty, empty, empty, empty, std::vector<uint16_t>(in.size())};
  probe({in.data(), static_cast<int64_t>(in.size()), kFactor, out.exp.data(),
         out.exp2_of_product.data(), out.softplus.data(), out.softplus_slope.data(),
         out.bfloat16.data()});
  return out;
}

// Blocks of four vectors, single ones and a part of one.
TEST(Simd, SumsOfExponentials) {
  const auto x = at::randn({3 * 64 + 16 + 5});
  constexpr int64_t times = 10;
  const auto j = at::arange(times, at::kDouble) / times;
  const auto wanted = at::exp2(x.to(at::kDouble).unsqueeze(1) * j).sum(1);
  EXPECT_TRUE(at::allclose(exp_rate(x, times).to(at::kDouble), wanted, 1e-6));
  const auto y = at::empty_like(x);
  const ExpSumsArguments a{x.const_data_ptr<float>(), y.mutable_data_ptr<float>(), 0, x.numel(),
                           times};
  avx2::exp_sums(a);
  EXPECT_TRUE(at::allclose(y.to(at::kDouble), wanted, 1e-6));
  EXPECT_ANY_THROW(exp_rate(x, 0));
  EXPECT_ANY_THROW(exp_rate(x.to(at::kDouble), times));
}

TEST(Simd, ExpIsWithinTwoUlp) {
  std::vector<float> in;
  for (float x = -87.3f; x < 88.7f; x += 0.00137f) in.push_back(x);
  for (const auto probe : probes()) {
    const auto out = run(probe, in).exp;
    for (size_t i = 0; i < in.size(); ++i) {
      const double exact = std::exp(static_cast<double>(in[i]));
      ASSERT_LT(std::abs(out[i] - exact) / exact, 2.4e-7) << in[i];
    }
  }
}

TEST(Simd, ExpAtTheEnds) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const auto probe : probes()) {
    const auto out = run(probe, {-inf, -1e30f, -88.f, 0.f, 88.73f, 1e30f, inf, NAN}).exp;
    EXPECT_EQ(out[0], 0.f);
    EXPECT_EQ(out[1], 0.f);
    EXPECT_EQ(out[2], 0.f);
    EXPECT_EQ(out[3], 1.f);
    EXPECT_EQ(out[4], inf);
    EXPECT_EQ(out[5], inf);
    EXPECT_EQ(out[6], inf);
    EXPECT_TRUE(std::isnan(out[7]));
  }
}

TEST(Simd, Exp2OfProduct) {
  std::vector<float> in;
  for (float x = -96.9f; x < 96.9f; x += 0.00137f) in.push_back(x);
  const std::vector<float> far{-97.8f, -7e14f, 0.f};
  for (const auto probe : probes()) {
    const auto out = run(probe, in).exp2_of_product;
    const auto at_ends = run(probe, far).exp2_of_product;
    for (size_t i = 0; i < in.size(); ++i) {
      const double exact = std::exp2(static_cast<double>(in[i]) * kFactor);
      // AVX2 rounds the product: 2^-24 of it, times log(2).
      const double rounding = probe == avx2::probe ? 5.3e-6 : 0;
      ASSERT_LT(std::abs(out[i] - exact) / exact, 2.4e-7 + rounding) << in[i];
    }
    EXPECT_LT(at_ends[0], 1.2e-38f);
    EXPECT_EQ(at_ends[1], 0.f);
    EXPECT_EQ(at_ends[2], 1.f);
  }
}

TEST(Simd, SoftplusAndItsSlopeAreExactAtBothEnds) {
  std::vector<float> in;
  for (float x = -87.f; x < 90.f; x += 0.00137f) in.push_back(x);
  for (const auto probe : probes()) {
    const auto out = run(probe, in);
    for (size_t i = 0; i < in.size(); ++i) {
      const double x = in[i], value = std::log1p(std::exp(-std::abs(x))) + std::max(x, 0.0);
      const double slope = 1 / (1 + std::exp(-x));
      ASSERT_LT(std::abs(out.softplus[i] - value) / value, 4e-7) << x;
      ASSERT_LT(std::abs(out.softplus_slope[i] - slope) / slope, 4e-7) << x;
    }
  }
}

TEST(Simd, BFloat16RoundsAsLibTorchDoes) {
  auto in = at::randn({4099}) * at::randn({4099}).exp();
  in[0] = NAN;
  in[1] = std::numeric_limits<float>::infinity();
  in[2] = 1.00390625f;  // a tie
  in[3] = 1.01171875f;  // a tie, to the other side
  const auto expected = in.to(at::kBFloat16);
  const auto* bits = reinterpret_cast<const uint16_t*>(expected.const_data_ptr());
  const std::vector<float> values(in.data_ptr<float>(), in.data_ptr<float>() + in.numel());
  for (const auto probe : probes()) {
    const auto out = run(probe, values).bfloat16;
    EXPECT_GT(out[0] & 0x7fff, 0x7f80);
    for (size_t i = 1; i < out.size(); ++i) ASSERT_EQ(out[i], bits[i]) << values[i];
  }
}

}  // namespace
}  // namespace gamut::ops
