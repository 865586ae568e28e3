// Rotary positions by their CUDA kernels, emulated.
#include "ops/rope/rope.h"

#include <torch/csrc/autograd/autograd.h>

#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;

struct Case {
  int64_t batch, time, heads, head_dim, pairs;
  bool interleaved = false;
};

// The operator on {x, then weight and gain as the flags say}, its angles of [time, pairs] or
// [batch, time, pairs].
struct Rope {
  Case sizes;
  bool has_weight = true, has_gain = true, is_normed = true, by_row = false;
  Tensor cos = {}, sin = {};

  Rope drawn() const {
    Rope result = *this;
    auto shape = std::vector<int64_t>{sizes.time, sizes.pairs};
    if (by_row) shape.insert(shape.begin(), sizes.batch);
    const auto angles = 3 * at::randn(shape);
    result.cos = angles.cos(), result.sin = angles.sin();
    return result;
  }
  Tensors inputs(at::ScalarType type) const {
    Tensors all = {at::randn({sizes.batch, sizes.time, sizes.heads, sizes.head_dim}).to(type)};
    if (has_weight) all.push_back(1 + at::randn({sizes.head_dim}) / 4);
    if (has_gain) all.push_back((1 + at::randn({sizes.heads}) / 4).to(type));
    return all;
  }
  test::Function with(decltype(&rope) op) const {
    return [op, r = *this](const Tensors& in) -> Tensors {
      const auto weight = r.has_weight ? std::optional<Tensor>(in[1]) : std::nullopt;
      const auto gain = r.has_gain ? std::optional<Tensor>(in.back()) : std::nullopt;
      const auto eps = r.is_normed ? std::optional<double>(1e-6) : std::nullopt;
      return {op(in[0], r.cos, r.sin, r.sizes.interleaved, weight, eps, gain)};
    };
  }
  void expect_like_reference(at::ScalarType type, double tolerance) const {
    const auto r = drawn();
    test::expect_device_like_reference(r.with(rope), r.with(rope_reference), r.inputs(type),
                                       tolerance);
  }
};

// Packs of 16, 4 and 2 bytes; all channels turned, some, none; more heads than a block has teams.
TEST(RopeOnDevice, EqualsReferenceInEveryType) {
  at::manual_seed(1);
  for (const auto& [type, tolerance] : test::kDeviceTypes) {
    for (const bool interleaved : {false, true}) {
      for (const Case& c : {Case{2, 5, 3, 32, 16},
                            {1, 7, 2, 48, 16},
                            {1, 3, 2, 42, 21},
                            {2, 3, 2, 12, 6},
                            {1, 4, 2, 9, 3},
                            {1, 2, 70, 32, 16}}) {
        auto sizes = c;
        sizes.interleaved = interleaved;
        Rope{sizes}.expect_like_reference(type, tolerance);
      }
    }
    Rope{{2, 3, 2, 16, 0}}.expect_like_reference(type, tolerance);
  }
}

TEST(RopeOnDevice, EveryPartCanBeAbsent) {
  at::manual_seed(2);
  const Case sizes{2, 5, 3, 16, 8};
  Rope{sizes, false, false, false}.expect_like_reference(at::kFloat, 2e-6);
  Rope{sizes, false, true, false}.expect_like_reference(at::kFloat, 2e-6);
  Rope{sizes, true, false, true}.expect_like_reference(at::kFloat, 2e-6);
  Rope{sizes, false, false, true, true}.expect_like_reference(at::kFloat, 2e-6);
}

// Heads that a warp does not hold, and more steps than there are blocks for partial sums.
TEST(RopeOnDevice, EqualsReferenceInWideHeadsAndManySteps) {
  at::manual_seed(3);
  Rope{{1, 3, 2, 131, 40}}.expect_like_reference(at::kFloat, 2e-6);
  Rope{{1, 3, 2, 131, 40, true}}.expect_like_reference(at::kBFloat16, 6e-3);
  Rope{{1, 540, 129, 2, 1}, false}.expect_like_reference(at::kFloat, 2e-6);
}

TEST(RopeOnDevice, ReadsSlicesOfAWiderProjection) {
  at::manual_seed(4);
  for (const int64_t d : {16, 10}) {
    const auto r = Rope{{2, 3, 2, d, d / 2}, true, false}.drawn();
    const auto slice = [&](decltype(&rope) op) -> test::Function {
      return [f = r.with(op), d](const Tensors& in) {
        return f({in[0].narrow(2, 2 * d, 2 * d).unflatten(2, {2, d}), in[1]});
      };
    };
    test::expect_device_like_reference(slice(rope), slice(rope_reference),
                                       {at::randn({2, 3, 6 * d}), at::randn({d})}, 2e-6);
  }
}

TEST(RopeOnDevice, SecondDerivativesExist) {
  at::manual_seed(5);
  const auto r = Rope{{1, 3, 2, 8, 4}}.drawn();
  const auto inputs = r.inputs(at::kFloat);
  const auto second = [&](at::ScalarType type) {
    auto in = inputs;
    for (auto& t : in) t = t.detach().to(type).clone();
    in[0].set_requires_grad(true);
    const auto y = r.with(rope)(in)[0].pow(3).sum();
    const auto first = torch::autograd::grad({y}, {in[0]}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({first.square().sum()}, {in[0]})[0];
  };
  const auto expected = second(at::kDouble);
  const test::EmulatedDevice device;
  EXPECT_CLOSE(second(at::kFloat), expected, 1e-4);
  EXPECT_TRUE(device.was_used());
}

}  // namespace
}  // namespace gamut::ops
