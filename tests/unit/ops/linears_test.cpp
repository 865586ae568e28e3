// Several linear maps of one input.
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "ops/linears/kernel.h"
#include "ops/linears/linears.h"
#include "ops/rows.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;

std::vector<Tensor> random_inputs(at::ScalarType dtype, std::vector<int64_t> shape) {
  const int64_t k = shape.back();
  return {at::randn(shape, dtype), at::randn({5, k}, dtype), at::randn({33, k}, dtype),
          at::randn({1, k}, dtype)};
}

std::vector<Tensor> tail(const std::vector<Tensor>& all) {
  return {all.begin() + 1, all.end()};
}

TEST(Linears, EqualTheDefinitionWithGradients) {
  at::manual_seed(30);
  const test::Function got = [](const std::vector<Tensor>& t) { return linears(t[0], tail(t)); };
  const test::Function expected = [](const std::vector<Tensor>& t) {
    return linears_reference(t[0], tail(t));
  };
  for (const auto& shape : {std::vector<int64_t>{2, 9, 7}, {40}, {3, 17}}) {
    const auto inputs = random_inputs(at::kDouble, shape);
    std::vector<Tensor> cotangents;
    for (const auto& y : got(inputs)) cotangents.push_back(at::randn_like(y));
    const auto a = test::evaluate(got, inputs, cotangents);
    const auto b = test::evaluate(expected, inputs, cotangents);
    for (size_t i = 0; i < a.outputs.size(); ++i) {
      EXPECT_EQ(a.outputs[i].sizes(), b.outputs[i].sizes());
      EXPECT_CLOSE(a.outputs[i], b.outputs[i], 1e-13);
    }
    for (size_t i = 0; i < inputs.size(); ++i) EXPECT_CLOSE(a.gradients[i], b.gradients[i], 1e-13);
  }
}

// One output unused, one weight frozen, and twice differentiated.
TEST(Linears, GradientsFlowWhereTheyAreAskedFor) {
  auto inputs = random_inputs(at::kDouble, {4, 6});
  inputs[0].set_requires_grad(true);
  inputs[2].set_requires_grad(true);
  const auto outputs = linears(inputs[0], tail(inputs));
  const auto loss = (outputs[0].pow(2)).sum() + outputs[1].pow(3).sum();
  const auto dx = torch::autograd::grad({loss}, {inputs[0]}, {}, std::nullopt, true)[0];
  const auto exact = 2 * outputs[0].mm(inputs[1]) + 3 * outputs[1].pow(2).mm(inputs[2]);
  EXPECT_CLOSE(dx, exact, 1e-13);
  dx.sum().backward({}, /*retain_graph=*/true);
  const auto second = inputs[2].grad().clone();
  inputs[2].mutable_grad().reset();
  exact.sum().backward();
  EXPECT_CLOSE(second, inputs[2].grad(), 1e-12);
}

TEST(Linears, AFewRowsArePassesOverTheWeights) {
  at::manual_seed(31);
  const c10::NoGradGuard no_grad;
  for (const auto& [dtype, tolerance] : {std::pair(at::kFloat, 1e-6), {at::kBFloat16, 8e-3}}) {
    for (const int64_t rows : {1, 2, 3, 4, 7, 8, 9}) {
      for (const int64_t k : {1, 15, 64, 100, 384}) {
        const auto inputs = random_inputs(dtype, {rows, 1, k});
        const auto got = linears(inputs[0], tail(inputs));
        for (size_t i = 0; i < got.size(); ++i) {
          const auto exact = at::linear(inputs[0].to(at::kDouble), inputs[i + 1].to(at::kDouble));
          EXPECT_EQ(got[i].scalar_type(), dtype);
          EXPECT_LE(test::relative_error(got[i], exact), tolerance) << rows << " x " << k;
        }
      }
    }
  }
}

using Kernel = void (*)(const FewRowsArguments&);

TEST(Linears, EveryInstructionSetAgrees) {
  at::manual_seed(32);
  std::vector<std::pair<const char*, Kernel>> kernels = {{"avx2", avx2::few_rows}};
  if (isa() >= Isa::avx512) kernels.emplace_back("avx512", avx512::few_rows);
  if (isa() >= Isa::avx512_bf16) kernels.emplace_back("avx512_bf16", avx512_bf16::few_rows);
  for (const auto& [name, kernel] : kernels) {
    const auto x = at::randn({7, 83}), weight = at::randn({11, 83});
    const auto y = at::full({7, 11}, -1.0f);
    kernel({Element::float32, x.const_data_ptr(), 7, 83, weight.const_data_ptr(),
            y.mutable_data_ptr(), 11, 2, 10});
    const auto expected = at::linear(x.to(at::kDouble), weight.to(at::kDouble));
    EXPECT_LE(test::relative_error(y.slice(1, 2, 10), expected.slice(1, 2, 10)), 1e-6) << name;
    EXPECT_TRUE(y.slice(1, 0, 2).eq(-1).all().item<bool>()) << name;
    EXPECT_EQ(y[6][10].item<float>(), -1) << name;
  }
}

TEST(Linears, FollowAutocast) {
  const auto inputs = random_inputs(at::kFloat, {2, 20, 8});
  auto x = inputs[0].clone().set_requires_grad(true);
  auto weight = inputs[1].clone().set_requires_grad(true);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const auto y = linears(x, {weight})[0];
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  y.backward(at::ones_like(y));
  EXPECT_EQ(x.grad().scalar_type(), at::kFloat);
  EXPECT_CLOSE(x.grad(), weight.sum(0).expand_as(x), 1e-2);
  EXPECT_CLOSE(weight.grad(), x.flatten(0, 1).sum(0).expand_as(weight), 2e-2);
}

TEST(Linears, TakeGradientsInsideAutocastToo) {
  const auto inputs = random_inputs(at::kFloat, {2, 20, 8});
  auto x = inputs[0].clone().set_requires_grad(true);
  const auto y = linears(x, {inputs[1], inputs[1]});
  const auto sum = y[0].sum() + y[1].sum();
  at::autocast::set_autocast_enabled(at::kCPU, true);
  sum.backward();
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_CLOSE(x.grad(), (2 * inputs[1].sum(0)).expand_as(x), 1e-6);
}

TEST(Linears, SayWhatIsWrong) {
  const auto refusal = [](const Tensor& x, const std::vector<Tensor>& weights) -> std::string {
    try {
      linears(x, weights);
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal(at::ones({2, 3}), {at::ones({4, 3}), at::ones({4, 2})}),
              testing::HasSubstr("weights must be [n, 3]; one is [4, 2]"));
  EXPECT_THAT(refusal(at::ones({2, 3}), {at::ones({4, 3}, at::kDouble)}),
              testing::HasSubstr("convert one of them"));
  EXPECT_THAT(refusal(at::ones({2, 3}), {}), testing::HasSubstr("needs x [..., k]"));
}

}  // namespace
}  // namespace gamut::ops
