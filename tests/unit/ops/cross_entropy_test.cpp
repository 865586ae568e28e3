// Cross entropy, alone and with its linear head, against references and finite differences.
#include "ops/cross_entropy/cross_entropy.h"

#include <ATen/autocast_mode.h>

#include <torch/csrc/autograd/autograd.h>

#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using ::testing::HasSubstr;

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

struct Form {
  double label_smoothing, softcap;
};
const std::vector<Form> kForms = {{0, 0}, {0.1, 0}, {0, 3}, {0.2, 30}};

// Ids with every seventh target ignored.
Tensor targets_of(at::IntArrayRef shape, int64_t ids) {
  const auto targets = at::randint(ids, shape, at::kLong);
  targets.view({-1}).slice(0, 3, std::nullopt, 7).fill_(-100);
  return targets;
}

test::Function fused(const Tensor& targets, const Form& f) {
  return [=](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    return {cross_entropy(in[0], targets, -100, f.label_smoothing, f.softcap)};
  };
}
test::Function reference(const Tensor& targets, const Form& f) {
  return [=](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    return {cross_entropy_reference(in[0], targets, -100, f.label_smoothing, f.softcap)};
  };
}

using Operator = Tensor (*)(const Tensor&, at::TensorList, const Tensor&, int64_t, double, double);
test::Function linear(Operator op, const Tensor& targets, const Form& f) {
  return [=](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    const std::vector<Tensor> weights(in.begin() + 1, in.end());
    return {op(in[0], weights, targets, -100, f.label_smoothing, f.softcap)};
  };
}

std::vector<Tensor> cast(std::vector<Tensor> tensors, at::ScalarType type) {
  for (auto& t : tensors) t = t.to(type);
  return tensors;
}

void expect_alike(const test::Evaluated& got, const test::Evaluated& expected, double tolerance) {
  EXPECT_CLOSE(got.outputs[0], expected.outputs[0], tolerance);
  for (size_t i = 0; i < got.gradients.size(); ++i) {
    EXPECT_CLOSE(got.gradients[i], expected.gradients[i], tolerance) << "of input " << i;
  }
}

std::vector<Tensor> cotangent() {
  return {at::full({}, 0.7, kDoubles)};
}

TEST(CrossEntropy, EqualsReferenceInEveryType) {
  at::manual_seed(1);
  for (const int64_t ids : {2, 5, 16, 97, 1027}) {
    const auto logits = 5 * at::randn({3, 11, ids}, kDoubles);
    const auto targets = targets_of({3, 11}, ids);
    for (const auto& form : kForms) {
      for (const auto& [type, tolerance] :
           {std::pair(at::kDouble, 1e-11), {at::kFloat, 5e-6}, {at::kBFloat16, 8e-3}}) {
        const auto inputs = cast({logits}, type);
        expect_alike(
            test::evaluate(fused(targets, form), inputs, cotangent()),
            test::evaluate(reference(targets, form), cast(inputs, at::kDouble), cotangent()),
            tolerance);
      }
    }
  }
}

TEST(CrossEntropy, IsLibTorchsWithoutSmoothingAndCap) {
  at::manual_seed(2);
  const auto logits = at::randn({40, 33});
  const auto targets = targets_of({40}, 33);
  EXPECT_CLOSE(cross_entropy(logits, targets, -100, 0, 0), at::cross_entropy_loss(logits, targets),
               1e-6);
  EXPECT_CLOSE(cross_entropy(logits, targets, -100, 0.1, 0),
               at::cross_entropy_loss(logits, targets, {}, at::Reduction::Mean, -100, 0.1), 1e-6);
}

TEST(CrossEntropy, GradientsAreThoseOfFiniteDifferences) {
  at::manual_seed(3);
  for (const auto& form : kForms) {
    const auto targets = targets_of({6}, 9);
    test::expect_gradients(fused(targets, form), {at::randn({6, 9}, kDoubles)});
    const std::vector<Tensor> inputs = {at::randn({6, 4}, kDoubles), at::randn({9, 4}, kDoubles)};
    test::expect_gradients(linear(linear_cross_entropy, targets, form), inputs);
  }
}

TEST(CrossEntropy, HoldsForLargeLogits) {
  const auto logits = at::tensor({1e30F, -1e30F, 0.0F, 0.0F, 500.0F, -500.0F}).view({2, 3});
  const auto targets = at::tensor({int64_t{0}, int64_t{1}});
  EXPECT_FLOAT_EQ(cross_entropy(logits, targets, -100, 0, 0).item<float>(), 0.0F);
}

// More rows than a block of the head takes at once, several heads, odd sizes.
TEST(CrossEntropy, LinearEqualsReference) {
  at::manual_seed(4);
  const int64_t d = 24, ids = 1501, rows = 1500;
  for (const int64_t heads : {1, 2}) {
    std::vector<Tensor> inputs = {at::randn({2, rows / 2, d}, kDoubles)};
    for (int64_t h = 0; h < heads; ++h) inputs.push_back(at::randn({ids, d}, kDoubles));
    const auto targets = targets_of({2, rows / 2, heads}, ids);
    const auto given = heads == 1 ? targets.squeeze(-1) : targets;
    for (const auto& [type, tolerance] :
         {std::pair(at::kDouble, 1e-12), {at::kFloat, 1e-5}, {at::kBFloat16, 2e-2}}) {
      const auto mine = cast(inputs, type);
      const Form form{0.05, 20};
      expect_alike(test::evaluate(linear(linear_cross_entropy, given, form), mine, cotangent()),
                   test::evaluate(linear(linear_cross_entropy_reference, given, form),
                                  cast(mine, at::kDouble), cotangent()),
                   tolerance);
    }
  }
}

// Products in bfloat16, gradients in the types of x and of the weights.
TEST(CrossEntropy, LinearFollowsAutocast) {
  at::manual_seed(5);
  const auto x = at::randn({70, 16}).set_requires_grad(true);
  const auto weight = at::randn({40, 16}).set_requires_grad(true);
  const auto targets = targets_of({70}, 40);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const auto loss = linear_cross_entropy(x, {weight}, targets, -100, 0, 0);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  loss.backward();
  EXPECT_EQ(x.grad().scalar_type(), at::kFloat);
  EXPECT_EQ(weight.grad().scalar_type(), at::kFloat);
  const auto rounded = [](const Tensor& t) { return t.detach().to(at::kBFloat16).to(at::kDouble); };
  const auto expected = test::evaluate(linear(linear_cross_entropy_reference, targets, {0, 0}),
                                       {rounded(x), rounded(weight)}, {at::ones({}, kDoubles)});
  EXPECT_CLOSE(loss, expected.outputs[0], 1e-2);
  EXPECT_CLOSE(x.grad(), expected.gradients[0], 2e-2);
  EXPECT_CLOSE(weight.grad(), expected.gradients[1], 2e-2);
}

// The gradients that are kept with the loss are not those handed out, which callers scale and clear
// in place: a second backward pass gives the same again.
TEST(CrossEntropy, LinearGoesBackTwice) {
  at::manual_seed(7);
  const auto x = at::randn({30, 8}).set_requires_grad(true);
  for (const int64_t heads : {1, 2}) {
    std::vector<Tensor> weights;
    for (int64_t h = 0; h < heads; ++h) {
      weights.push_back(at::randn({20, 8}).set_requires_grad(true));
    }
    const auto targets = targets_of({30, heads}, 20);
    const auto loss =
        linear_cross_entropy(x, weights, heads == 1 ? targets.squeeze(-1) : targets, -100, 0.1, 15);
    loss.backward({}, /*retain_graph=*/true);
    std::vector<Tensor> leaves = weights, first;
    leaves.push_back(x);
    for (const auto& leaf : leaves) {
      first.push_back(leaf.grad().clone());
      leaf.grad().zero_();
    }
    loss.backward({}, /*retain_graph=*/true);
    for (size_t i = 0; i < leaves.size(); ++i) EXPECT_TRUE(at::equal(leaves[i].grad(), first[i]));
    loss.backward();
    for (size_t i = 0; i < leaves.size(); ++i) {
      EXPECT_TRUE(at::equal(leaves[i].grad(), 2 * first[i])) << i;
      leaves[i].mutable_grad() = Tensor();
    }
  }
}

TEST(CrossEntropy, LossesWithoutGradientsAreTheSame) {
  at::manual_seed(6);
  const auto x = at::randn({90, 8}), weight = at::randn({300, 8});
  const auto targets = targets_of({90}, 300);
  const auto with =
      linear_cross_entropy(x.clone().set_requires_grad(true), {weight}, targets, -100, 0, 0);
  EXPECT_TRUE(at::equal(linear_cross_entropy(x, {weight}, targets, -100, 0, 0), with.detach()));
  EXPECT_TRUE(linear_cross_entropy(x, {weight}, at::full({90}, -100, at::kLong), -100, 0, 0)
                  .isnan()
                  .item<bool>());
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(CrossEntropy, MistakesAreSaid) {
  const auto logits = at::randn({4, 5});
  const auto good = at::zeros({4}, at::kLong);
  const auto plain = [&](const Tensor& targets, double smoothing) {
    return message_of([&] { cross_entropy(logits, targets, -100, smoothing, 0); });
  };
  EXPECT_THAT(plain(at::zeros({3}, at::kLong), 0), HasSubstr("targets must be [4]"));
  EXPECT_THAT(plain(at::zeros({4}), 0), HasSubstr("must be int64"));
  EXPECT_THAT(plain(at::full({4}, 5, at::kLong), 0),
              HasSubstr("target 5 is neither an id below 5"));
  EXPECT_THAT(plain(good, 1.5), HasSubstr("label_smoothing must lie in [0, 1)"));

  const auto x = at::randn({4, 3}).set_requires_grad(true);
  const auto headed = [&](const Tensor& weight) {
    return message_of([&] { linear_cross_entropy(x, {weight}, good, -100, 0, 0); });
  };
  EXPECT_THAT(headed(at::randn({5, 2})), HasSubstr("every weight must be [ids, 3]"));
  EXPECT_THAT(headed(at::randn({5, 3}, kDoubles)),
              HasSubstr("convert one of them or use autocast"));
  const auto loss = linear_cross_entropy(x, {at::randn({5, 3})}, good, -100, 0, 0);
  EXPECT_THAT(
      message_of([&] { torch::autograd::grad({loss}, {x}, {}, true, /*create_graph=*/true); }),
      HasSubstr("no second derivative"));
}

}  // namespace
}  // namespace gamut::ops
