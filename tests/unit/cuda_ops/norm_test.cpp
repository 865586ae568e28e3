// The norms by their CUDA kernels, emulated.
#include "ops/norm/norm.h"

#include <torch/csrc/autograd/autograd.h>

#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;

// A norm of {x, then weight and gate as the flags say}, and the same by its reference.
struct Norm {
  bool has_weight = false, has_gate = false, gate_first = false;
  std::optional<int64_t> group_size = std::nullopt;
  double eps = 1e-5;

  std::optional<Tensor> weight(const Tensors& in) const {
    return has_weight ? std::optional<Tensor>(in[1]) : std::nullopt;
  }
  std::optional<Tensor> gate(const Tensors& in) const {
    return has_gate ? std::optional<Tensor>(in.back()) : std::nullopt;
  }
  test::Function op() const {
    return [*this](const Tensors& in) -> Tensors {
      return {rms_norm(in[0], weight(in), eps, gate(in), gate_first, group_size)};
    };
  }
  test::Function reference() const {
    return [*this](const Tensors& in) -> Tensors {
      return {rms_norm_reference(in[0], weight(in), eps, gate(in), gate_first, group_size)};
    };
  }
  void expect_like_reference(const Tensors& inputs, double tolerance) const {
    test::expect_device_like_reference(op(), reference(), inputs, tolerance);
  }
};

Tensor draw(at::IntArrayRef sizes, at::ScalarType type) {
  return at::randn(sizes).to(type);
}

// Packs of 16, 4 and 2 bytes; part of a warp, a warp and several a row; more rows than a block has
// at a time.
TEST(NormOnDevice, EqualsReferenceInEveryTypeAndWidth) {
  at::manual_seed(1);
  for (const auto& [type, tolerance] : test::kDeviceTypes) {
    for (const int64_t d : {3, 42, 64, 600}) {
      const int64_t rows = d < 100 ? 33 : 3;
      const auto x = draw({rows, d}, type), gate = draw({rows, d}, type);
      const auto weight = 1 + at::randn({d}) / 4;
      Norm{}.expect_like_reference({x}, tolerance);
      Norm{true, true, false}.expect_like_reference({x, weight.to(type), gate}, tolerance);
      Norm{true, true, true}.expect_like_reference({x, weight, gate}, tolerance);
    }
  }
}

TEST(NormOnDevice, EqualsReferenceInGroups) {
  at::manual_seed(2);
  for (const int64_t size : {3, 8, 40}) {
    const int64_t d = 5 * size;
    const auto x = draw({70, d}, at::kBFloat16), gate = draw({70, d}, at::kBFloat16);
    const auto weight = 1 + at::randn({d}) / 4;
    Norm{true, false, false, size}.expect_like_reference({x, weight}, 6e-3);
    Norm{true, true, true, size}.expect_like_reference({x, weight, gate}, 6e-3);
  }
}

// A group that no block holds is read twice, and its weight's sums are kept in memory.
TEST(NormOnDevice, EqualsReferenceInWideRows) {
  at::manual_seed(3);
  for (const int64_t d : {1025, 2304, 4104}) {
    const auto x = draw({3, d}, at::kFloat), gate = draw({3, d}, at::kFloat);
    const auto weight = 1 + at::randn({d}) / 4;
    Norm{true, true, false}.expect_like_reference({x, weight, gate}, 2e-6);
  }
}

// More rows than there are blocks for partial sums.
TEST(NormOnDevice, SumsManyRows) {
  at::manual_seed(4);
  Norm{true}.expect_like_reference({at::randn({3, 1000, 4}), at::randn({4})}, 2e-6);
}

TEST(NormOnDevice, TakesAGateOfAnotherType) {
  at::manual_seed(5);
  for (const bool first : {false, true}) {
    const auto x = at::randn({9, 20}), weight = at::randn({20});
    Norm{true, true, first}.expect_like_reference({x, weight, draw({9, 20}, at::kBFloat16)}, 6e-3);
    Norm{true, true, first}.expect_like_reference({x.to(at::kHalf), weight, at::randn({9, 20})},
                                                  2e-3);
  }
}

TEST(NormOnDevice, EqualsReferenceOfL2) {
  at::manual_seed(6);
  for (const bool clamp : {false, true}) {
    const test::Function op = [=](const Tensors& in) -> Tensors {
      return {l2_norm(in[0], 1e-2, clamp)};
    };
    const test::Function reference = [=](const Tensors& in) -> Tensors {
      return {l2_norm_reference(in[0], 1e-2, clamp)};
    };
    for (const auto& [type, tolerance] : test::kDeviceTypes) {
      const auto x = draw({2, 3, 5, 42}, type);
      x.select(0, 0).mul_(1e-4);  // shorter than eps
      test::expect_device_like_reference(op, reference, {x}, tolerance);
    }
  }
  const test::EmulatedDevice device;
  const auto zero = at::zeros({2, 3}).set_requires_grad(true);
  l2_norm(zero, 1e-6, true).sum().backward();
  EXPECT_CLOSE(zero.grad(), at::full({2, 3}, 1e6), 1e-6);
  const auto nan = at::tensor({1.0F, std::numeric_limits<float>::quiet_NaN()});
  EXPECT_TRUE(l2_norm(nan, 1e-6, true).isnan().all().item<bool>());
}

TEST(NormOnDevice, ReadsSlicesOfAWiderTensor) {
  at::manual_seed(7);
  for (const int64_t d : {16, 19}) {
    const auto slices = [d](const Tensors& in, const auto& norm) -> Tensors {
      return {norm(in[0].narrow(2, 0, d), in[1], 1e-5, in[0].narrow(2, d, d), false, std::nullopt)};
    };
    const test::Function op = [=](const Tensors& in) { return slices(in, rms_norm); };
    const test::Function reference = [=](const Tensors& in) {
      return slices(in, rms_norm_reference);
    };
    test::expect_device_like_reference(op, reference,
                                       {draw({6, 2, 2 * d}, at::kBFloat16), at::randn({d})}, 6e-3);
  }
}

TEST(NormOnDevice, SecondDerivativesExist) {
  at::manual_seed(8);
  const Norm norm{true};
  const auto weight = at::randn({5});
  const auto second = [&](const test::Function& f, const Tensor& at_x) {
    const auto x = at_x.detach().clone().set_requires_grad(true);
    const auto y = f({x, weight.to(x.scalar_type())})[0].square().sum();
    const auto first = torch::autograd::grad({y}, {x}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({first.square().sum()}, {x})[0];
  };
  const auto x = at::randn({3, 5});
  const test::EmulatedDevice device;
  EXPECT_CLOSE(second(norm.op(), x), second(norm.reference(), x.to(at::kDouble)), 1e-4);
}

TEST(NormOnDevice, OtherTypesAreComposed) {
  const test::EmulatedDevice device;
  const auto x = at::randn({3, 5}, at::kDouble);
  EXPECT_CLOSE(Norm{}.op()({x})[0], Norm{}.reference()({x})[0], 1e-15);
  EXPECT_EQ(rms_norm(at::empty({0, 4}), {}, 1e-5, {}, false, {}).numel(), 0);
  EXPECT_FALSE(device.was_used());
}

}  // namespace
}  // namespace gamut::ops
