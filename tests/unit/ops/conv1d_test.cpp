// Convolution over channels-last activations.
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <gamut/ops/conv1d.h>

#include "ops/conv1d/conv1d.h"
#include "ops/ops.h"
#include "ops/simd/isa.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;

struct Case {
  int64_t batch, steps, inputs, outputs, taps;
  int64_t stride = 1, dilation = 1, left = 0, right = 0;
  const char* activation = nullptr;
  bool bias = true, residual = false, tanh = false;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.batch << "x" << c.steps << " " << c.inputs << "->" << c.outputs << " taps "
             << c.taps << " stride " << c.stride << " dilation " << c.dilation << " padding "
             << c.left << "," << c.right << " " << (c.activation ? c.activation : "none");
}

// A layer and an input of it.
struct Given {
  Conv1d layer;
  Tensor x;
  Conv1dCall call;

  Given to(at::ScalarType type) const {
    const auto as = [&](const Tensor& t) { return t.defined() ? t.to(type) : t; };
    Given g = *this;
    g.layer.packed = as(layer.packed);
    g.layer.bias = as(layer.bias);
    g.x = as(x);
    g.call.alpha = as(call.alpha);
    g.call.residual = as(call.residual);
    return g;
  }
  Tensor run() const { return ops::conv1d(x, layer, call); }
};

Given random_case(const Case& c) {
  link_operators();
  Given g;
  const double scale = 1 / std::sqrt(static_cast<double>(c.inputs * c.taps));
  g.layer = pack_conv1d(at::randn({c.outputs, c.inputs, c.taps}) * scale,
                        c.bias ? at::randn({c.outputs}) : Tensor(), c.stride, c.dilation);
  g.x = at::randn({c.batch, c.steps, c.inputs});
  g.call.left = c.left;
  g.call.right = c.right;
  if (c.activation) g.call.activation = c.activation;
  if (g.call.activation == "snake") g.call.alpha = at::rand({c.inputs}) * 3 + 0.05;
  g.call.tanh = c.tanh;
  if (c.residual) g.call.residual = at::randn_like(g.run());
  return g;
}

const std::vector<Case> kCases = {
    {1, 1, 1, 1, 1},
    {1, 50, 1, 64, 7, 1, 1, 3, 3},
    {2, 131, 64, 64, 7, 1, 3, 9, 9, "snake", true, true},
    {1, 131, 64, 64, 7, 1, 9, 27, 27, "snake"},
    {1, 90, 64, 128, 4, 2, 1, 1, 1, "snake"},
    {3, 101, 24, 48, 10, 5, 1, 3, 3, "snake"},
    {1, 40, 512, 40, 3, 1, 1, 1, 1, "snake"},
    {1, 33, 512, 33, 2, 2, 1, 0, 0},
    {2, 29, 512, 33, 2, 1, 4, 2, 6, "elu"},
    {1, 200, 96, 1, 7, 1, 1, 3, 3, "snake", true, false, true},
    {2, 45, 21, 2, 5, 1, 3, 6, 6, "elu", true, true, true},
    {1, 45, 512, 1, 3, 1, 1, 1, 1, "elu"},
    {2, 77, 32, 16, 3, 1, 1, 2, 0, "elu"},
    {2, 77, 16, 32, 1, 1, 1, 0, 0, "elu", true, true},
    {1, 19, 13, 35, 3, 1, 2, 0, 4, "elu", false, true},
    {1, 19, 13, 17, 3, 3, 2, 5, 1, "snake", false, true, true},
    {1, 8, 129, 31, 1},
    {4, 3, 300, 65, 2, 1, 1, 1, 1, "elu"},
    {1, 1, 5, 7, 9, 1, 1, 4, 4},
    {1, 2500, 3, 18, 3, 1, 1, 1, 1, "snake"},
};

TEST(Conv1d, EqualsTheDefinition) {
  at::manual_seed(50);
  for (const auto& c : kCases) {
    SCOPED_TRACE(testing::Message() << c);
    const auto g = random_case(c);
    const auto y = g.run();
    EXPECT_CLOSE(y, g.to(at::kDouble).run(), 2e-6);
    EXPECT_EQ(y.size(1),
              (c.steps + c.left + c.right - (c.taps - 1) * c.dilation - 1) / c.stride + 1);
  }
}

// The float32 kernels' own numbers: each part of a row of time alone, with the context it needs,
// has the bits that it has in the whole.
TEST(Conv1d, StepsDoNotDependOnWhatIsAroundThem) {
  at::manual_seed(51);
  for (auto c : kCases) {
    SCOPED_TRACE(testing::Message() << c);
    c.left = c.right = 0;
    c.steps = 40 * c.stride + (c.taps - 1) * c.dilation + 1;
    const auto g = random_case(c);
    const auto whole = g.run();
    for (const auto& [from, to] : {std::pair<int64_t, int64_t>{0, 1}, {3, 4}, {1, 20}, {7, 41}}) {
      Given part = g;
      const int64_t window = (c.taps - 1) * c.dilation + 1;
      part.x = g.x.narrow(1, from * c.stride, (to - from - 1) * c.stride + window);
      if (c.residual) part.call.residual = g.call.residual.slice(1, from, to);
      EXPECT_TRUE(at::equal(part.run(), whole.slice(1, from, to))) << from << " to " << to;
    }
  }
}

TEST(Conv1d, ThreadsAndBatchesDoNotChangeBits) {
  at::manual_seed(52);
  const int threads = at::get_num_threads();
  for (const auto& c : kCases) {
    SCOPED_TRACE(testing::Message() << c);
    const auto g = random_case(c);
    at::set_num_threads(1);
    const auto alone = g.run();
    for (const int n : {2, 3, 7}) {
      at::set_num_threads(n);
      EXPECT_TRUE(at::equal(g.run(), alone)) << n << " threads";
    }
    for (int64_t b = 0; b < c.batch; ++b) {
      Given row = g;
      row.x = g.x.narrow(0, b, 1);
      if (c.residual) row.call.residual = g.call.residual.narrow(0, b, 1);
      EXPECT_TRUE(at::equal(row.run(), alone.narrow(0, b, 1))) << "row " << b;
    }
  }
  at::set_num_threads(threads);
}

// Wide enough for several panels, long enough for several tiles, on all threads.
TEST(Conv1d, LayersOfCodecsEqualTheDefinition) {
  at::manual_seed(53);
  const std::vector<Case> layers = {{1, 4100, 64, 64, 7, 1, 9, 27, 27, "snake", true, true},
                                    {1, 80, 512, 512, 7, 1, 9, 27, 27, "snake"},
                                    {1, 690, 256, 160, 16, 8, 1, 4, 4, "snake"},
                                    {1, 2, 512, 1024, 3, 1, 1, 1, 1, "elu"},
                                    {1, 300, 1024, 8, 1}};
  for (const auto& c : layers) {
    SCOPED_TRACE(testing::Message() << c);
    const auto g = random_case(c);
    EXPECT_CLOSE(g.run(), g.to(at::kDouble).run(), 2e-6);
  }
}

TEST(Conv1d, TransposedRowsAreStepsOfTheTransposedConvolution) {
  at::manual_seed(54);
  link_operators();
  struct Sizes {
    int64_t inputs, outputs, taps, stride;
  };
  for (const auto& s : {Sizes{24, 12, 16, 8},
                        {7, 5, 10, 5},
                        {64, 32, 4, 2},
                        {3, 1, 7, 3},
                        {5, 2, 2, 3},
                        {6, 4, 6, 1}}) {
    SCOPED_TRACE(testing::Message() << s.taps << " taps, stride " << s.stride);
    const auto weight = at::randn({s.inputs, s.outputs, s.taps}), bias = at::randn({s.outputs});
    const auto x = at::randn({2, 9, s.inputs});
    const auto layer = pack_conv_transpose1d(weight, bias, s.stride);
    Conv1dCall call;
    call.left = call.right = (s.taps + s.stride - 1) / s.stride - 1;
    const auto y = conv1d(x, layer, call).view({2, -1, s.outputs});
    const auto expected =
        at::conv_transpose1d(x.transpose(1, 2).to(at::kDouble), weight.to(at::kDouble),
                             bias.to(at::kDouble), s.stride)
            .transpose(1, 2);
    const int64_t steps = 8 * s.stride + s.taps;
    ASSERT_GE(y.size(1), steps);
    EXPECT_CLOSE(y.slice(1, 0, expected.size(1)), expected, 2e-6);
    EXPECT_TRUE(
        at::equal(y.slice(1, expected.size(1)), bias.expand_as(y.slice(1, expected.size(1)))));
  }
}

// One input, one output and a weight of 1: the activation itself.
Tensor activated(const Tensor& x, const char* name, const Tensor& alpha, bool tanh) {
  link_operators();
  Conv1dCall call;
  if (name) call.activation = name;
  call.alpha = alpha;
  call.tanh = tanh;
  return conv1d(x.view({1, -1, 1}), pack_conv1d(at::ones({1, 1, 1}), {}), call).flatten();
}

double largest_difference(const Tensor& got, const Tensor& exact) {
  return (got.to(at::kDouble) - exact).abs().max().item<double>();
}

TEST(Conv1d, SnakeIsExactOverTheRangeOfItsArgument) {
  for (const double alpha : {0.01, 0.7, 3.0, 100.0}) {
    const auto x = at::linspace(-30, 30, 40001);
    const auto x64 = x.to(at::kDouble);
    const auto a = at::full({1}, alpha);
    const double a64 = a.item<float>();
    const auto z = (x * a).to(at::kDouble);  // rounded as the argument is
    const auto wave = z.sin().square();
    const auto got = activated(x, "snake", a, false).to(at::kDouble);
    EXPECT_LE(largest_difference(got, x64 + wave / (a64 + 1e-9)), 2e-6 + 3e-7 / alpha) << alpha;
  }
}

TEST(Conv1d, EluIsExactNearZeroToo) {
  const auto x = at::cat({at::linspace(-100, 100, 20001), -at::logspace(-20, 2, 2001)});
  const auto exact = at::where(x > 0, x.to(at::kDouble), x.to(at::kDouble).expm1());
  const auto error = (activated(x, "elu", {}, false).to(at::kDouble) - exact).abs();
  EXPECT_LE((error / exact.abs().clamp_min(1e-30)).max().item<double>(), 3e-7);
}

TEST(Conv1d, TanhIsExactNearZeroToo) {
  const auto x = at::cat({at::linspace(-100, 100, 20001), at::logspace(-20, 2, 2001)});
  const auto exact = x.to(at::kDouble).tanh();
  const auto error = (activated(x, nullptr, {}, true).to(at::kDouble) - exact).abs();
  EXPECT_LE((error / exact.abs().clamp_min(1e-30)).max().item<double>(), 4e-7);
}

TEST(Conv1d, WhatIsNoNumberStaysNone) {
  const float inf = std::numeric_limits<float>::infinity();
  const auto x = at::tensor({std::nanf(""), inf, -inf, 1e30f});
  const auto snake = activated(x, "snake", at::ones({1}), false);
  EXPECT_TRUE(snake.slice(0, 0, 3).isnan().all().item<bool>());
  EXPECT_EQ(snake[3].item<float>(), 1e30f);
  const auto elu = activated(x, "elu", {}, false);
  EXPECT_TRUE(elu[0].isnan().item<bool>());
  EXPECT_EQ(elu[1].item<float>(), inf);
  EXPECT_EQ(elu[2].item<float>(), -1);
  const auto tanh = activated(x, nullptr, {}, true);
  EXPECT_TRUE(tanh[0].isnan().item<bool>());
  EXPECT_EQ(tanh[1].item<float>(), 1);
  EXPECT_EQ(tanh[2].item<float>(), -1);
}

// Time may be a view into something longer, channels may not lie side by side.
TEST(Conv1d, TakesViews) {
  at::manual_seed(55);
  auto g = random_case({2, 30, 6, 20, 3, 1, 2, 4, 0, "elu", true, true});
  const auto expected = g.run();
  g.x = at::constant_pad_nd(g.x, {0, 0, 3, 2}).narrow(1, 3, 30);
  EXPECT_TRUE(at::equal(g.run(), expected));
  g.x = g.x.transpose(1, 2).contiguous().transpose(1, 2);
  g.call.residual = g.call.residual.transpose(1, 2).contiguous().transpose(1, 2);
  EXPECT_TRUE(at::equal(g.run(), expected));
}

TEST(Conv1d, SayWhatIsWrong) {
  const auto refusal = [](const std::function<void(Given&)>& change) -> std::string {
    auto g = random_case({1, 10, 4, 6, 3, 1, 1, 0, 0, "snake"});
    change(g);
    try {
      g.run();
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  using testing::HasSubstr;
  EXPECT_EQ(refusal([](Given&) {}), "accepted");
  EXPECT_THAT(refusal([](Given& g) { g.x = g.x.narrow(1, 0, 2); }),
              HasSubstr("x has 2 steps, 2 with padding, and the weight reaches over 3"));
  EXPECT_THAT(refusal([](Given& g) { g.x = at::ones({1, 10, 5}); }),
              HasSubstr("x must be [batch, time, 4]"));
  EXPECT_THAT(refusal([](Given& g) { g.x = g.x.to(at::kDouble); }),
              HasSubstr("convert one of them"));
  EXPECT_THAT(refusal([](Given& g) { g.x.set_requires_grad(true); }),
              HasSubstr("is for inference and has no gradients"));
  EXPECT_THAT(refusal([](Given& g) { g.call.alpha = Tensor(); }), HasSubstr("snake needs it"));
  EXPECT_THAT(refusal([](Given& g) { g.call.alpha = at::ones({3}); }),
              HasSubstr("alpha must be [4]"));
  EXPECT_THAT(refusal([](Given& g) { g.call.activation = "relu"; }),
              HasSubstr("no activation `relu`"));
  EXPECT_THAT(refusal([](Given& g) { g.call.residual = at::ones({1, 10, 6}); }),
              HasSubstr("the residual must be as the output, [1, 8, 6]"));
  EXPECT_THAT(refusal([](Given& g) { g.layer.bias = at::ones({5}); }),
              HasSubstr("the bias must be [6]"));
  EXPECT_THAT(refusal([](Given& g) { g.layer.stride = 0; }), HasSubstr("must be positive"));
  EXPECT_THAT(refusal([](Given& g) { g.layer.outputs = 40; }),
              HasSubstr("are not those of 40 outputs"));
}

}  // namespace
}  // namespace gamut::ops
