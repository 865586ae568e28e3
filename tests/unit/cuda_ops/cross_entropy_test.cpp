// Cross entropy by its CUDA kernel, emulated, alone and with its linear head.
#include "ops/cross_entropy/cross_entropy.h"

#include <ATen/autocast_mode.h>

#include "ops/cross_entropy/device.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;

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

test::Function alone(decltype(&cross_entropy) op, const Tensor& targets, const Form& f) {
  return [=](const Tensors& in) -> Tensors {
    return {op(in[0], targets, -100, f.label_smoothing, f.softcap)};
  };
}
test::Function linear(decltype(&linear_cross_entropy) op, const Tensor& targets, const Form& f) {
  return [=](const Tensors& in) -> Tensors {
    const Tensors weights(in.begin() + 1, in.end());
    return {op(in[0], weights, targets, -100, f.label_smoothing, f.softcap)};
  };
}

// Rows that begin at every place of a pack, in one go of a warp, in two, and in those of a block.
TEST(CrossEntropyOnDevice, EqualsReferenceInEveryType) {
  at::manual_seed(1);
  for (const auto& [type, tolerance] : test::kDeviceTypes) {
    for (const int64_t ids : {2, 5, 16, 97, 1029}) {
      const auto logits = (5 * at::randn({2, 5, ids})).to(type);
      const auto targets = targets_of({2, 5}, ids);
      for (const auto& form : ids == 97 ? kForms : std::vector<Form>{kForms[3]}) {
        test::expect_device_like_reference(alone(cross_entropy, targets, form),
                                           alone(cross_entropy_reference, targets, form), {logits},
                                           2 * tolerance);
      }
    }
  }
}

TEST(CrossEntropyOnDevice, RowsOfManyIdsAreReadTwice) {
  at::manual_seed(2);
  const int64_t ids = 9001;  // more than a block of 256 threads holds
  const auto logits = (5 * at::randn({2, ids})).to(at::kBFloat16);
  const auto targets = at::tensor({int64_t{8999}, int64_t{3}});
  test::expect_device_like_reference(alone(cross_entropy, targets, kForms[3]),
                                     alone(cross_entropy_reference, targets, kForms[3]), {logits},
                                     1e-2);
}

TEST(CrossEntropyOnDevice, HoldsForLargeLogitsAndMaskedOnes) {
  const test::EmulatedDevice device;
  const auto logits = at::tensor({1e30F, -1e30F, 0.0F, 0.0F, 500.0F, -INFINITY}).view({2, 3});
  logits.set_requires_grad(true);
  const auto loss = cross_entropy(logits, at::tensor({int64_t{0}, int64_t{1}}), -100, 0, 0);
  EXPECT_FLOAT_EQ(loss.item<float>(), 0.0F);
  loss.backward();
  EXPECT_TRUE(at::equal(logits.grad(), at::zeros({2, 3})));
  const auto late = at::randn({2 * 24 + 1}).narrow(0, 1, 48).view({2, 24}).set_requires_grad(true);
  const auto targets = at::tensor({int64_t{7}, int64_t{23}});
  cross_entropy(late, targets, -100, 0, 0).backward();
  EXPECT_CLOSE(late.grad().sum(-1), at::zeros({2}), 1e-6) << "rows off by an element";
  EXPECT_LT(late.grad()[0][7].item<float>(), 0);
}

// Where the CPU throws, a device, which nobody asks, answers NaN and touches nothing else.
TEST(CrossEntropyOnDevice, ATargetThatIsNoIdMakesTheLossNaN) {
  const test::EmulatedDevice device;
  for (const int64_t bad : {int64_t{5}, int64_t{-1}, int64_t{1} << 40}) {
    const auto logits = at::randn({3, 5}).set_requires_grad(true);
    const auto targets = at::tensor({int64_t{1}, bad, int64_t{-100}});
    const auto loss = cross_entropy(logits, targets, -100, 0.1, 0);
    EXPECT_TRUE(std::isnan(loss.item<float>())) << bad;
    loss.backward();
    EXPECT_TRUE(logits.grad()[1].isnan().all().item<bool>());
    EXPECT_FALSE(logits.grad()[0].isnan().any().item<bool>());
    EXPECT_TRUE(at::equal(logits.grad()[2], at::zeros({5})));
  }
  const auto none = cross_entropy(at::randn({2, 5}), at::full({2}, -100, at::kLong), -100, 0, 0);
  EXPECT_TRUE(std::isnan(none.item<float>())) << "the mean of no losses";
}

TEST(CrossEntropyOnDevice, LinearEqualsReference) {
  at::manual_seed(4);
  for (const auto& [type, tolerance] : test::kDeviceTypes) {
    for (const int64_t heads : {1, 2}) {
      Tensors inputs = {at::randn({2, 9, 8}).to(type)};
      for (int64_t h = 0; h < heads; ++h) inputs.push_back(at::randn({37, 8}).to(type));
      const auto all = targets_of({2, 9, heads}, 37);
      const auto targets = heads == 1 ? all.squeeze(-1) : all;
      test::expect_device_like_reference(linear(linear_cross_entropy, targets, kForms[3]),
                                         linear(linear_cross_entropy_reference, targets, kForms[3]),
                                         inputs, 4 * tolerance);
    }
  }
}

// What a block leaves over, and gradients that meet in one sum.
TEST(CrossEntropyOnDevice, LinearTakesBlocksOfRows) {
  at::manual_seed(5);
  const LinearHead head = {
      at::randn({150, 6}), at::randn({10, 6}), targets_of({150, 1}, 10), {-100, 0.1, 5}, 10};
  const test::EmulatedDevice device;
  const auto& kernels = *cuda::emulation::emulated_kernels();
  const auto whole = linear_cross_entropy_on_device(kernels, head, true);
  const auto blocks = linear_cross_entropy_on_device(kernels, head, true, 640);
  EXPECT_CLOSE(blocks.loss, whole.loss, 1e-6);
  EXPECT_CLOSE(blocks.dx, whole.dx, 1e-6);
  EXPECT_CLOSE(blocks.d_weight, whole.d_weight, 1e-6);
  EXPECT_EQ(blocks.count.item<float>(), head.targets.ne(-100).sum().item<float>());
  EXPECT_FALSE(linear_cross_entropy_on_device(kernels, head, false).dx.defined());
}

TEST(CrossEntropyOnDevice, LinearFollowsAutocast) {
  at::manual_seed(6);
  const Tensors inputs = {at::randn({9, 8}), at::randn({37, 8})};
  const auto targets = targets_of({9}, 37);
  const test::Function op = [&](const Tensors& in) -> Tensors {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    const auto loss = linear_cross_entropy(in[0], {in[1]}, targets, -100, 0, 30);
    at::autocast::set_autocast_enabled(at::kCPU, false);
    return {loss};
  };
  test::expect_device_like_reference(op, linear(linear_cross_entropy_reference, targets, {0, 30}),
                                     inputs, 2e-2);
}

// Rows that are told well have gradients of a thousandth, of which float16 holds little once they
// are divided by the rows.
TEST(CrossEntropyOnDevice, LinearKeepsSmallGradientsInFloat16) {
  at::manual_seed(7);
  const auto x = at::eye(8).repeat({128, 1}).to(at::kHalf);
  const auto weight = (7 * at::eye(8) + 0.1 * at::randn({8, 8})).to(at::kHalf);
  const auto targets = at::arange(8, at::kLong).repeat({128});
  const LinearHead head = {x, weight, targets.view({-1, 1}), {-100, 0, 0}, 8};
  const test::EmulatedDevice device;
  const auto got = linear_cross_entropy_on_device(*cuda::emulation::emulated_kernels(), head, true);
  const auto wide = x.to(at::kDouble).set_requires_grad(true);
  linear_cross_entropy_reference(wide, {weight.to(at::kDouble)}, targets, -100, 0, 0).backward();
  EXPECT_CLOSE(got.dx.to(at::kDouble) / got.count, wide.grad(), 3e-3);
}

}  // namespace
}  // namespace gamut::ops
