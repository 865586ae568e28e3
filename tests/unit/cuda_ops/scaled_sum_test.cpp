// Weighted sums by their CUDA kernels, emulated.
#include "ops/scaled_sum/scaled_sum.h"

#include <torch/csrc/autograd/autograd.h>

#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;
using ::testing::HasSubstr;

// The operator on {x, y, then the weights that there are}.
test::Function with(decltype(&scaled_sum) op, bool has_a, bool has_b) {
  return [=](const Tensors& in) -> Tensors {
    const auto a = has_a ? std::optional<Tensor>(in[2]) : std::nullopt;
    const auto b = has_b ? std::optional<Tensor>(in.back()) : std::nullopt;
    return {op(in[0], in[1], a, b)};
  };
}

// Widths of packs and not, of several blocks; more rows than a block takes at once. The weights are
// float32 with bits that every type has.
TEST(ScaledSumOnDevice, EqualsReferenceInEveryType) {
  at::manual_seed(1);
  for (const auto& [type, tolerance] : test::kDeviceTypes) {
    for (const int64_t d : {1, 7, 24, 520}) {
      const auto draw = [&, t = type](at::IntArrayRef sizes) { return at::randn(sizes).to(t); };
      const int64_t time = d == 7 ? 301 : 5;
      const auto x = draw({2, time, d}), y = draw({2, time, d});
      const auto a = draw({d}).to(at::kFloat), b = draw({d});
      for (const int which : {0, 1, 2, 3}) {
        const bool has_a = which % 2 == 1, has_b = which / 2 == 1;
        Tensors inputs = {x, y};
        if (has_a) inputs.push_back(a);
        if (has_b) inputs.push_back(b);
        test::expect_device_like_reference(with(scaled_sum, has_a, has_b),
                                           with(scaled_sum_reference, has_a, has_b), inputs,
                                           tolerance);
      }
    }
  }
}

TEST(ScaledSumOnDevice, ReadsSlicesAndLeavesOutWhatNobodyWants) {
  at::manual_seed(2);
  const test::EmulatedDevice device;
  const auto wide = at::randn({3, 32}), x = wide.narrow(1, 0, 16), y = wide.narrow(1, 16, 16);
  const auto a = at::randn({16}).set_requires_grad(true);
  const auto z = scaled_sum(x, y, a, {});
  EXPECT_CLOSE(z, scaled_sum_reference(x, y, a, {}), 1e-6);
  z.sum().backward();
  EXPECT_CLOSE(a.grad(), x.sum(0), 1e-6);
  EXPECT_FALSE(x.grad().defined());
}

TEST(ScaledSumOnDevice, SecondDerivativesExist) {
  at::manual_seed(3);
  const auto x = at::randn({3, 5}).set_requires_grad(true), y = at::randn({3, 5});
  const auto b = at::randn({5}).set_requires_grad(true);
  const auto second = [&](decltype(&scaled_sum) op) {
    const auto z = op(x, y, b, b).pow(3).sum();
    const auto first = torch::autograd::grad({z}, {x, b}, {}, true, /*create_graph=*/true);
    return torch::autograd::grad({first[0].square().sum() + first[1].square().sum()}, {b})[0];
  };
  const auto expected = second(scaled_sum_reference);
  const test::EmulatedDevice device;
  EXPECT_CLOSE(second(scaled_sum), expected, 1e-4);
  EXPECT_TRUE(device.was_used());
}

TEST(ScaledSumOnDevice, MismatchIsSaid) {
  const auto message = [](const Tensor& y, const std::optional<Tensor>& b) -> std::string {
    try {
      scaled_sum(at::ones({2, 3}), y, {}, b);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message(at::ones({2, 4}), {}), HasSubstr("x and y must be alike"));
  EXPECT_THAT(message(at::ones({2, 3}), at::ones({4})), HasSubstr("b must be [3]"));
}

}  // namespace
}  // namespace gamut::ops
