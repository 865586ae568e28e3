// The causal convolution by its CUDA kernels, emulated.
#include "ops/causal_conv1d/causal_conv1d.h"

#include <torch/csrc/autograd/autograd.h>

#include "ops/norm/norm.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using test::offsets;
using Tensors = std::vector<Tensor>;

struct Case {
  int64_t batch, time, channels, width;
};

// x, weight, bias, initial state.
Tensors draw(const Case& c, int64_t documents, at::ScalarType type) {
  return {at::randn({c.batch, c.time, c.channels}).to(type),
          at::randn({c.channels, 1, c.width}) / std::sqrt(double(c.width)), at::randn({c.channels}),
          at::randn({documents, c.width - 1, c.channels})};
}

std::optional<c10::string_view> named(bool silu) {
  return silu ? std::optional<c10::string_view>("silu") : std::nullopt;
}

test::Function with(decltype(&causal_conv1d) op, bool silu, const Tensor& cu_seqlens = {}) {
  return [=](const Tensors& in) -> Tensors {
    const auto documents = cu_seqlens.defined() ? std::optional<Tensor>(cu_seqlens) : std::nullopt;
    const auto [y, state] = op(in[0], in[1], in[2], in[3], documents, named(silu));
    return {y, state};
  };
}

void expect_like_reference(const Tensors& inputs, bool silu, const Tensor& cu_seqlens,
                           double tolerance) {
  test::expect_device_like_reference(with(causal_conv1d, silu, cu_seqlens),
                                     with(causal_conv1d_reference, silu, cu_seqlens), inputs,
                                     tolerance);
}

// Channels that packs can be cut into and not; more than a block; steps of several runs.
TEST(CausalConv1dOnDevice, EqualsReferenceInEveryType) {
  at::manual_seed(1);
  for (const auto& [type, tolerance] : test::kDeviceTypes) {
    for (const Case& c : {Case{2, 37, 24, 4}, {1, 3, 8, 4}, {3, 9, 5, 4}, {1, 30, 136, 4}}) {
      expect_like_reference(draw(c, c.batch, type), true, {}, 2 * tolerance);
    }
  }
  expect_like_reference(draw({2, 37, 24, 4}, 2, at::kFloat), false, {}, 4e-6);
}

TEST(CausalConv1dOnDevice, EqualsReferenceForEveryWidth) {
  at::manual_seed(2);
  for (const int64_t width : {1, 2, 3, 5, 64}) {
    expect_like_reference(draw({2, 19, 8, width}, 2, at::kFloat), true, {}, 4e-6);
  }
}

// Ones shorter than the state too, alone and beside each other, and at the ends of runs.
TEST(CausalConv1dOnDevice, DocumentsDoNotLeak) {
  at::manual_seed(3);
  const auto packed = offsets({0, 1, 2, 2, 5, 7, 8, 16, 17, 40, 40, 41, 43, 80});
  for (const Case& c : {Case{2, 40, 24, 4}, {2, 40, 5, 4}, {2, 40, 3, 6}}) {
    expect_like_reference(draw(c, 11, at::kFloat), true, packed, 4e-6);
  }
}

// Runs that lie within one document, of which the kernel asks no more.
TEST(CausalConv1dOnDevice, GoesThroughLongDocuments) {
  at::manual_seed(4);
  expect_like_reference(draw({1, 600, 16, 4}, 2, at::kBFloat16), true, offsets({0, 310, 600}),
                        1.2e-2);
}

TEST(CausalConv1dOnDevice, ReadsSlicesOfAWiderTensor) {
  at::manual_seed(5);
  for (const int64_t channels : {16, 19}) {
    const auto slice = [channels](const auto& op) {
      return [&op, channels](const Tensors& in) -> Tensors {
        const auto [y, state] = op(in[0].narrow(2, channels, channels), in[1], {}, {}, {}, {});
        return {y, state};
      };
    };
    test::expect_device_like_reference(slice(causal_conv1d), slice(causal_conv1d_reference),
                                       {at::randn({2, 11, 2 * channels}), at::randn({channels, 4})},
                                       4e-6);
  }
}

// Weights of the type of x; only the state used.
TEST(CausalConv1dOnDevice, TakesWeightsOfEveryType) {
  at::manual_seed(6);
  auto inputs = draw({2, 9, 16, 4}, 2, at::kBFloat16);
  for (auto& t : inputs) t = t.to(at::kBFloat16);
  expect_like_reference(inputs, true, {}, 1.2e-2);
  const auto state = [](const auto& op) {
    return [&op](const Tensors& in) -> Tensors {
      return {std::get<1>(op(in[0], in[1], in[2], in[3], {}, {}))};
    };
  };
  test::expect_device_like_reference(state(causal_conv1d), state(causal_conv1d_reference), inputs,
                                     1.2e-2);
}

// Heads of whole packs, heads that packs lie across, and some that take the two operators.
TEST(CausalConv1dOnDevice, NormalisesHeads) {
  at::manual_seed(7);
  struct Heads {
    int64_t heads, head_dim;
  };
  const auto packed = offsets({0, 3, 26, 52});
  for (const auto& [type, tolerance] : test::kDeviceTypes) {
    for (const auto& h : {Heads{3, 16}, {4, 42}, {2, 84}, {3, 7}, {1, 256}}) {
      const int64_t dim = h.head_dim;
      const bool clamp = dim == 84;
      const test::Function op = [=](const Tensors& in) -> Tensors {
        const auto [y, state] = causal_conv1d_l2_norm(in[0], in[1], in[2], dim, 1e-2, clamp, in[3],
                                                      packed, named(true));
        return {y, state};
      };
      const test::Function reference = [=](const Tensors& in) -> Tensors {
        const auto [y, state] =
            causal_conv1d_reference(in[0], in[1], in[2], in[3], packed, named(true));
        return {l2_norm_reference(y.unflatten(2, {-1, dim}), 1e-2, clamp).flatten(2), state};
      };
      auto inputs = draw({2, 26, h.heads * dim, 4}, 3, type);
      test::expect_device_like_reference(op, reference, inputs, 3 * tolerance);
    }
  }
}

TEST(CausalConv1dOnDevice, SecondDerivativesExist) {
  at::manual_seed(8);
  const auto weight = at::randn({8, 4});
  const auto second = [&](const auto& f, const Tensor& at_x) {
    const auto x = at_x.detach().clone().set_requires_grad(true);
    const auto y = f(x, weight.to(x.scalar_type())).pow(3).sum();
    const auto first = torch::autograd::grad({y}, {x}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({first.square().sum()}, {x})[0];
  };
  const auto op = [](const Tensor& x, const Tensor& w) {
    return std::get<0>(causal_conv1d_l2_norm(x, w, {}, 8, 1e-6, false, {}, {}, named(true)));
  };
  const auto x = at::randn({1, 6, 8});
  const auto expected = second(op, x.to(at::kDouble));
  const test::EmulatedDevice device;
  EXPECT_CLOSE(second(op, x), expected, 1e-4);
  EXPECT_TRUE(device.was_used());
}

}  // namespace
}  // namespace gamut::ops
