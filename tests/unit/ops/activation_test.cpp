// The activations against their references and finite differences.
#include "ops/activation/activation.h"

#include <torch/csrc/autograd/autograd.h>

#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using ::testing::HasSubstr;

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

std::vector<Tensor> of_swiglu(const std::vector<Tensor>& in) {
  return {swiglu(in[0], in[1])};
}
std::vector<Tensor> of_swiglu_reference(const std::vector<Tensor>& in) {
  return {swiglu_reference(in[0], in[1])};
}
std::vector<Tensor> of_relu(const std::vector<Tensor>& in) {
  return {relu_squared(in[0])};
}
std::vector<Tensor> of_relu_reference(const std::vector<Tensor>& in) {
  return {relu_squared_reference(in[0])};
}

std::vector<Tensor> cast(std::vector<Tensor> tensors, at::ScalarType type) {
  for (auto& t : tensors) t = t.to(type);
  return tensors;
}

// Outputs and gradients in `type` against the reference's in float64, at inputs that `type` holds.
void expect_like_reference(const test::Function& op, const test::Function& reference,
                           std::vector<Tensor> inputs, at::ScalarType type, double tolerance) {
  inputs = cast(std::move(inputs), type);
  const std::vector<Tensor> cotangents = {at::randn(inputs[0].sizes(), kDoubles).to(type)};
  const auto got = test::evaluate(op, inputs, cotangents);
  const auto expected =
      test::evaluate(reference, cast(inputs, at::kDouble), cast(cotangents, at::kDouble));
  EXPECT_EQ(got.outputs[0].scalar_type(), type);
  EXPECT_CLOSE(got.outputs[0], expected.outputs[0], tolerance);
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_CLOSE(got.gradients[i], expected.gradients[i], tolerance) << "of input " << i;
  }
}

// Widths of less than a register, of whole ones, and of what is between.
TEST(Activation, EqualsReferenceInEveryType) {
  at::manual_seed(1);
  for (const int64_t d : {1, 7, 16, 37, 1024}) {
    const auto gate = 4 * at::randn({3, 5, d}, kDoubles), up = at::randn({3, 5, d}, kDoubles);
    for (const auto& [type, tolerance] :
         {std::pair(at::kDouble, 1e-14), {at::kFloat, 1e-6}, {at::kBFloat16, 5e-3}}) {
      expect_like_reference(of_swiglu, of_swiglu_reference, {gate, up}, type, tolerance);
      expect_like_reference(of_relu, of_relu_reference, {gate}, type, tolerance);
    }
  }
}

TEST(Activation, GradientsAreThoseOfFiniteDifferences) {
  at::manual_seed(2);
  test::expect_gradients(of_swiglu, {at::randn({4, 9}, kDoubles), at::randn({4, 9}, kDoubles)});
  test::expect_gradients(of_relu, {at::randn({4, 9}, kDoubles)});
}

TEST(Activation, ReadsSlicesOfAWiderTensor) {
  at::manual_seed(3);
  const auto both = at::randn({6, 2, 38}), other = at::randn({38, 6}).t();
  const auto gate = both.narrow(2, 0, 19), up = both.narrow(2, 19, 19);
  EXPECT_CLOSE(swiglu(gate, up), swiglu_reference(gate, up), 1e-6);
  EXPECT_CLOSE(relu_squared(other), relu_squared_reference(other), 1e-6);
}

TEST(Activation, HoldsAtExtremeInputs) {
  const auto gate = at::tensor({-1e30F, -200.0F, -0.0F, 0.0F, 200.0F, 1e30F});
  const auto up = at::ones({6});
  EXPECT_TRUE(at::equal(swiglu(gate, up), at::tensor({0.0F, 0.0F, 0.0F, 0.0F, 200.0F, 1e30F})));
  const auto nan = at::full({3}, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(swiglu(nan, at::ones({3})).isnan().all().item<bool>());
  EXPECT_TRUE(relu_squared(nan).isnan().all().item<bool>());
  EXPECT_EQ(swiglu(at::empty({0, 4}), at::empty({0, 4})).numel(), 0);
}

TEST(Activation, SecondDerivativesExist) {
  at::manual_seed(4);
  const auto x = at::randn({3, 5}, kDoubles).set_requires_grad(true);
  const auto up = at::randn({3, 5}, kDoubles);
  const auto first = [&](const test::Function& f) {
    const auto y = f({x, up})[0].sum();
    return torch::autograd::grad({y}, {x}, {}, true, /*create_graph=*/true)[0];
  };
  const auto second = [&](const test::Function& f) {
    return torch::autograd::grad({first(f).sum()}, {x})[0];
  };
  EXPECT_CLOSE(second(of_swiglu), second(of_swiglu_reference), 1e-12);
}

TEST(Activation, MismatchIsSaid) {
  const auto message = [](const Tensor& gate, const Tensor& up) -> std::string {
    try {
      swiglu(gate, up);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message(at::ones({2, 3}), at::ones({2, 4})), HasSubstr("must have one shape"));
  EXPECT_THAT(message(at::ones({2}), at::ones({2}, kDoubles)), HasSubstr("must be alike"));
  EXPECT_THAT(message(at::ones({2}, at::kLong), at::ones({2}, at::kLong)),
              HasSubstr("floating-point tensors, not Long"));
}

}  // namespace
}  // namespace gamut::ops
