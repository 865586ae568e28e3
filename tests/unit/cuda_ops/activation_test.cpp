// The activations by their CUDA kernels, emulated.
#include "ops/activation/activation.h"

#include <torch/csrc/autograd/autograd.h>

#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;

Tensors of_swiglu(const Tensors& in) {
  return {swiglu(in[0], in[1])};
}
Tensors of_swiglu_reference(const Tensors& in) {
  return {swiglu_reference(in[0], in[1])};
}
Tensors of_relu(const Tensors& in) {
  return {relu_squared(in[0])};
}
Tensors of_relu_reference(const Tensors& in) {
  return {relu_squared_reference(in[0])};
}

// Less than a pack, tails of one, and more than a block.
TEST(ActivationOnDevice, EqualsReferenceInEveryType) {
  at::manual_seed(1);
  for (const auto& [type, tolerance] : test::kDeviceTypes) {
    for (const int64_t d : {1, 7, 37, 1101}) {
      const auto gate = (3 * at::randn({2, 5, d})).to(type), up = at::randn({2, 5, d}).to(type);
      test::expect_device_like_reference(of_swiglu, of_swiglu_reference, {gate, up}, tolerance);
      test::expect_device_like_reference(of_relu, of_relu_reference, {gate}, tolerance);
    }
  }
}

// Halves of one projection: rows apart from each other, aligned to 16 bytes and not.
TEST(ActivationOnDevice, ReadsSlicesOfAWiderTensor) {
  at::manual_seed(2);
  for (const int64_t d : {16, 24, 19}) {
    const test::Function op = [d](const Tensors& in) -> Tensors {
      return {swiglu(in[0].narrow(2, 0, d), in[0].narrow(2, d, d))};
    };
    const test::Function reference = [d](const Tensors& in) -> Tensors {
      return {swiglu_reference(in[0].narrow(2, 0, d), in[0].narrow(2, d, d))};
    };
    const auto both = at::randn({6, 2, 2 * d}).to(at::kBFloat16);
    test::expect_device_like_reference(op, reference, {both}, 6e-3);
  }
  const test::EmulatedDevice device;
  const auto turned = at::randn({38, 6}).t(), late = at::randn({41}).narrow(0, 1, 40);
  EXPECT_CLOSE(relu_squared(turned), relu_squared_reference(turned), 1e-6);
  EXPECT_CLOSE(relu_squared(late), relu_squared_reference(late), 1e-6);
}

TEST(ActivationOnDevice, HoldsAtExtremeInputs) {
  const test::EmulatedDevice device;
  const auto gate = at::tensor({-1e30F, -200.0F, -0.0F, 0.0F, 200.0F, 1e30F});
  const auto up = at::ones({6});
  EXPECT_TRUE(at::equal(swiglu(gate, up), at::tensor({0.0F, 0.0F, 0.0F, 0.0F, 200.0F, 1e30F})));
  const auto nan = at::full({3}, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(swiglu(nan, at::ones({3})).isnan().all().item<bool>());
  EXPECT_TRUE(relu_squared(nan).isnan().all().item<bool>());
  EXPECT_EQ(swiglu(at::empty({0, 4}), at::empty({0, 4})).numel(), 0);
}

TEST(ActivationOnDevice, SecondDerivativesExist) {
  at::manual_seed(4);
  const test::EmulatedDevice device;
  const auto x = at::randn({3, 5}).set_requires_grad(true), up = at::randn({3, 5});
  const auto second = [&](const test::Function& f) {
    const auto y = f({x, up})[0].sum();
    const auto first = torch::autograd::grad({y}, {x}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({first.sum()}, {x})[0];
  };
  EXPECT_CLOSE(second(of_swiglu), second(of_swiglu_reference), 1e-5);
}

TEST(ActivationOnDevice, OtherTypesAreComposed) {
  const test::EmulatedDevice device;
  const auto x = at::randn({3, 5}, at::kDouble);
  EXPECT_CLOSE(relu_squared(x), relu_squared_reference(x), 1e-15);
  EXPECT_FALSE(device.was_used());
}

}  // namespace
}  // namespace gamut::ops
