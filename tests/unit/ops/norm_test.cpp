// The norms against their definitions, references and finite differences.
#include "ops/norm/norm.h"

#include <torch/csrc/autograd/autograd.h>

#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using ::testing::HasSubstr;

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

struct Form {
  bool weight, gate, gate_first;
  std::optional<int64_t> group_size;
};

const std::vector<Form> kForms = {
    {true, false, false, {}}, {false, false, false, {}}, {true, true, false, {}},
    {true, true, true, {}},   {false, true, true, {}},   {true, true, false, 6},
    {true, true, true, 6},    {true, false, false, 3},
};

// Inputs: x, weight, gate; those that the form has not are not used.
template <class Operator>
test::Function with(const Operator& op, const Form& form, double eps = 0.1) {
  return [=](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    const auto weight = form.weight ? std::optional<Tensor>(in[1]) : std::nullopt;
    const auto gate = form.gate ? std::optional<Tensor>(in[2]) : std::nullopt;
    return {op(in[0], weight, eps, gate, form.gate_first, form.group_size)};
  };
}

test::Function l2(double eps, bool clamp = false) {
  return [=](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    return {l2_norm(in[0], eps, clamp)};
  };
}

std::vector<Tensor> random_inputs(std::vector<int64_t> shape) {
  const auto x = at::randn(shape, kDoubles);
  return {x, at::randn({shape.back()}, kDoubles), at::randn(shape, kDoubles)};
}

// The equation, not by way of the reference.
Tensor definition(const std::vector<Tensor>& in, const Form& form, double eps) {
  const int64_t size = form.group_size.value_or(in[0].size(-1));
  const auto open = in[2] / (1 + (-in[2]).exp());
  const auto u = form.gate && form.gate_first ? in[0] * open : in[0];
  const auto groups = u.reshape({-1, size});
  auto y = (groups / (groups.pow(2).sum(1, true) / double(size) + eps).sqrt()).view_as(u);
  if (form.weight) y = y * in[1];
  return form.gate && !form.gate_first ? y * open : y;
}

void expect_same_gradients(const test::Function& got, const test::Function& expected,
                           const std::vector<Tensor>& inputs, double tolerance) {
  const std::vector<Tensor> cotangents = {at::randn_like(inputs[0])};
  const auto a = test::evaluate(got, inputs, cotangents);
  const auto b = test::evaluate(expected, inputs, cotangents);
  EXPECT_CLOSE(a.outputs[0], b.outputs[0], tolerance);
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_LE(test::relative_error(a.gradients[i], b.gradients[i]), tolerance) << "input " << i;
  }
}

TEST(RmsNorm, EqualsItsDefinition) {
  at::manual_seed(1);
  for (const auto& form : kForms) {
    for (const auto& shape :
         std::vector<std::vector<int64_t>>{{2, 5, 3, 12}, {700, 48}, {3, 102}, {12}, {1, 6000}}) {
      SCOPED_TRACE(testing::Message()
                   << "gate " << form.gate << form.gate_first << " of " << at::IntArrayRef(shape));
      const auto in = random_inputs(shape);
      const test::Function expected = [&](const std::vector<Tensor>& t) -> std::vector<Tensor> {
        return {definition(t, form, 0.1)};
      };
      expect_same_gradients(with(rms_norm, form), expected, in, 1e-12);
      EXPECT_CLOSE(with(rms_norm_reference, form)(in)[0], expected(in)[0], 1e-13);
    }
  }
}

TEST(L2Norm, EqualsItsDefinition) {
  at::manual_seed(2);
  for (const int64_t d : {1, 7, 64, 130}) {
    const test::Function expected = [](const std::vector<Tensor>& t) -> std::vector<Tensor> {
      return {t[0] / (t[0].pow(2).sum(-1, true) + 0.01).sqrt()};
    };
    const std::vector<Tensor> in = {at::randn({2, 30, 3, d}, kDoubles)};
    expect_same_gradients(l2(0.01), expected, in, 1e-12);
    EXPECT_CLOSE(l2_norm_reference(in[0], 0.01, false), expected(in)[0], 1e-13);
  }
}

// x / max(|x|, eps), with rows on either side of eps.
TEST(L2Norm, ClampsTheLength) {
  at::manual_seed(12);
  for (const int64_t d : {1, 7, 64, 130}) {
    const auto sizes = at::tensor({1.0, 1e-4, 1e-3, 3.0}, kDoubles).view({4, 1, 1});
    auto x = at::randn({4, 5, d}, kDoubles);
    x = x / x.norm(2, -1, true) * sizes * 1.5;
    const std::vector<Tensor> in = {x};
    const test::Function expected = [](const std::vector<Tensor>& t) -> std::vector<Tensor> {
      return {t[0] / t[0].pow(2).sum(-1, true).sqrt().clamp_min(0.01)};
    };
    expect_same_gradients(l2(0.01, true), expected, in, 1e-12);
    EXPECT_CLOSE(l2_norm_reference(x, 0.01, true), expected(in)[0], 1e-13);
    EXPECT_CLOSE(l2_norm(x.to(at::kFloat), 0.01, true), expected(in)[0], 1e-6);
  }
  EXPECT_TRUE(at::equal(l2_norm(at::zeros({2, 9}), 1e-6, true), at::zeros({2, 9})));
}

TEST(RmsNorm, GradientsByFiniteDifferences) {
  at::manual_seed(3);
  for (const auto& form : kForms) {
    test::expect_gradients(with(rms_norm, form), random_inputs({5, 3, 12}));
  }
  test::expect_gradients(l2(0.1), {at::randn({5, 12}, kDoubles)});
}

TEST(RmsNorm, MixedTypes) {
  at::manual_seed(4);
  const auto in = random_inputs({2, 50, 102});
  const std::vector<Tensor> cotangents = {at::randn_like(in[0])};
  for (const auto& form : kForms) {
    for (const auto x_type : {at::kFloat, at::kBFloat16}) {
      for (const auto gate_type : {at::kFloat, at::kBFloat16}) {
        SCOPED_TRACE(testing::Message() << x_type << ", gate " << gate_type << form.gate_first);
        const std::vector<Tensor> narrow = {in[0].to(x_type), in[1].to(at::kFloat),
                                            in[2].to(gate_type)};
        std::vector<Tensor> exact;
        for (const auto& t : narrow) exact.push_back(t.to(at::kDouble));
        const auto a = test::evaluate(with(rms_norm, form), narrow, cotangents);
        const auto b = test::evaluate(with(rms_norm, form), exact, cotangents);
        const bool single = x_type == at::kFloat && gate_type == at::kFloat;
        EXPECT_EQ(a.outputs[0].scalar_type(), x_type);
        EXPECT_CLOSE(a.outputs[0], b.outputs[0], x_type == at::kFloat ? 1e-6 : 4e-3);
        for (size_t i = 0; i < 3; ++i) {
          EXPECT_CLOSE(a.gradients[i], b.gradients[i], single ? 2e-6 : 1e-2);
          EXPECT_EQ(a.gradients[i].scalar_type(), narrow[i].scalar_type());
        }
      }
    }
  }
}

TEST(RmsNorm, TakesSlicesWhereTheyLie) {
  at::manual_seed(5);
  const auto wide = at::randn({4, 30, 50}, kDoubles);
  const auto x = wide.narrow(2, 3, 20), gate = wide.narrow(2, 30, 20);
  for (const bool first : {false, true}) {
    EXPECT_TRUE(at::equal(rms_norm(x, {}, 1e-5, gate, first, 10),
                          rms_norm(x.contiguous(), {}, 1e-5, gate.contiguous(), first, 10)));
  }
  EXPECT_TRUE(
      at::equal(l2_norm(x.transpose(0, 1), 1e-6, false), l2_norm(x, 1e-6, false).transpose(0, 1)));
}

// Dimensions of size one have strides of any size, which say nothing of where rows lie.
TEST(RmsNorm, TakesDimensionsOfSizeOneAnywhere) {
  for (const auto& x : {at::randn({3, 1, 8, 16}, kDoubles).narrow(2, 0, 5),
                        at::randn({3, 8, 1, 16}, kDoubles).narrow(1, 2, 5),
                        at::randn({1, 3, 8, 16}, kDoubles).narrow(2, 0, 5),
                        at::randn({2, 1, 4, 16}, kDoubles).transpose(1, 2),
                        at::randn({1, 16}, kDoubles).expand({4, 1, 16})}) {
    const auto expected = rms_norm_reference(x.contiguous(), {}, 0.1, {}, false, {});
    EXPECT_LE(test::relative_error(rms_norm(x, {}, 0.1, {}, false, {}), expected), 1e-14)
        << x.sizes() << " with strides " << x.strides();
  }
}

TEST(RmsNorm, DoesNotDependOnTheNumberOfThreads) {
  at::manual_seed(6);
  auto in = random_inputs({3000, 48});
  for (auto& t : in) t = t.to(at::kFloat);
  const std::vector<Tensor> cotangents = {at::randn_like(in[0])};
  const Form form{true, true, false, {}};
  test::expect_same_on_threads(with(rms_norm, form), in, cotangents);
}

TEST(RmsNorm, ZerosAndLargeValuesGiveNoNaN) {
  const auto zeros = at::zeros({2, 20}), large = at::full({2, 20}, 1e18f);
  const auto gate = at::tensor({-1e30f, 1e30f}).view({2, 1}).expand({2, 20}).contiguous();
  EXPECT_TRUE(at::equal(l2_norm(zeros, 1e-6, false), zeros));
  EXPECT_TRUE(at::equal(rms_norm(zeros, {}, 1e-6, {}, false, {}), zeros));
  EXPECT_CLOSE(rms_norm(large, {}, 1e-6, {}, false, {}), at::ones({2, 20}), 1e-6);
  for (const auto& x : {zeros, large}) {
    const auto out = test::evaluate(with(rms_norm, {false, true, false, {}}, 1e-6),
                                    {x, at::ones({20}), gate}, {at::full({2, 20}, 1e-3f)});
    EXPECT_TRUE(at::isfinite(out.outputs[0]).all().item<bool>());
    for (const auto& g : out.gradients) EXPECT_FALSE(at::isnan(g).any().item<bool>());
  }
}

// The gradient of |gradients|^2 with respect to x.
Tensor second_gradient(const test::Function& f, const std::vector<Tensor>& in) {
  auto leaves = in;
  leaves[0] = in[0].clone().set_requires_grad(true);
  const auto loss = f(leaves)[0].pow(3).sum();
  const auto g = torch::autograd::grad({loss}, {leaves[0]}, {}, true, /*create_graph=*/true)[0];
  return torch::autograd::grad({g.square().sum()}, {leaves[0]})[0];
}

TEST(RmsNorm, HasSecondDerivatives) {
  at::manual_seed(7);
  const auto in = random_inputs({4, 12});
  for (const auto& form : kForms) {
    EXPECT_CLOSE(second_gradient(with(rms_norm, form), in),
                 second_gradient(with(rms_norm_reference, form), in), 1e-11);
  }
}

TEST(RmsNorm, SaysWhatDoesNotFit) {
  const auto x = at::ones({2, 12});
  EXPECT_THAT(test::error_of([&] { rms_norm(x, at::ones({5}), 1e-5, {}, false, {}); }),
              HasSubstr("the weight must be [12]"));
  EXPECT_THAT(test::error_of([&] { rms_norm(x, {}, 1e-5, at::ones({12}), false, {}); }),
              HasSubstr("the gate must be [2, 12] as x; it is [12]"));
  EXPECT_THAT(test::error_of([&] { rms_norm(x, {}, 1e-5, {}, true, {}); }),
              HasSubstr("gate_first needs a gate"));
  EXPECT_THAT(test::error_of([&] { rms_norm(x, {}, 1e-5, {}, false, 5); }),
              HasSubstr("group_size = 5 must divide the last dimension of x, 12"));
  EXPECT_THAT(test::error_of([&] { l2_norm(at::ones({}), 1e-5, false); }),
              HasSubstr("no dimension"));
  EXPECT_THAT(test::error_of([&] { l2_norm(at::ones({2}, at::kLong), 1e-5, false); }),
              HasSubstr("l2_norm: x must be a floating-point tensor, not Long"));
  EXPECT_THAT(test::error_of([&] { rms_norm(x, {}, -1, {}, false, {}); }),
              HasSubstr("eps = -1 must be 0 or more"));
}

}  // namespace
}  // namespace gamut::ops
