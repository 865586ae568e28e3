// gamut::gated_delta_rule by its CUDA kernels, emulated: outputs and gradients against the
// definition in float64, in every type, shape and state of gates that asks for another path.
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include "ops/gated_delta_rule/gated_delta_rule.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using test::Evaluated;

struct Sizes {
  int64_t batch, time, heads, value_heads, d_k, d_v;
};

Tensor unit(const Tensor& x) {
  return x / x.norm(2, -1, true);
}

// q, k, v, g, beta, initial state; keys of length one.
std::vector<Tensor> random_inputs(const Sizes& s, int64_t sequences, double gate = 0.5) {
  return {unit(at::randn({s.batch, s.time, s.heads, s.d_k})),
          unit(at::randn({s.batch, s.time, s.heads, s.d_k})),
          at::randn({s.batch, s.time, s.value_heads, s.d_v}),
          -gate * at::rand({s.batch, s.time, s.value_heads}),
          2 * at::rand({s.batch, s.time, s.value_heads}),
          at::randn({sequences, s.value_heads, s.d_k, s.d_v})};
}

// q, k, v in the type; gates, strengths and states stay float32.
std::vector<Tensor> in_type(std::vector<Tensor> x, at::ScalarType type) {
  for (int i = 0; i < 3; ++i) x[i] = x[i].to(type);
  return x;
}

using Operator = decltype(&gated_delta_rule);

test::Function call(Operator f, const std::optional<Tensor>& cu_seqlens = {}) {
  return [=](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    const auto initial = x.size() > 5 ? std::optional<Tensor>(x[5]) : std::nullopt;
    const auto [y, state] = f(x[0], x[1], x[2], x[3], x[4], {}, initial, cu_seqlens, 0);
    return {y, state};
  };
}

double relative_norm(const Tensor& got, const Tensor& expected) {
  const auto a = got.detach().to(at::kDouble), b = expected.detach().to(at::kDouble);
  const double size = b.norm().item<double>(), error = (a - b).norm().item<double>();
  if (std::isnan(error)) return std::numeric_limits<double>::infinity();
  return size == 0 ? error : error / size;
}

struct Bounds {
  at::ScalarType type;
  double outputs, gradients, gates;
};
const Bounds kFloat32{at::kFloat, 1e-5, 1e-5, 2e-5};
const Bounds kBfloat16{at::kBFloat16, 5e-3, 8e-3, 2e-2};
const Bounds kFloat16{at::kHalf, 1e-3, 2e-3, 4e-3};

void expect_within(const Evaluated& got, const Evaluated& expected, const Bounds& bounds) {
  for (size_t i = 0; i < expected.outputs.size(); ++i) {
    EXPECT_LE(relative_norm(got.outputs[i], expected.outputs[i]), bounds.outputs) << "output " << i;
  }
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    const bool is_gate = i == 3 || i == 4;
    EXPECT_LE(relative_norm(got.gradients[i], expected.gradients[i]),
              is_gate ? bounds.gates : bounds.gradients)
        << "gradient " << i;
  }
}

std::vector<Tensor> cotangents_for(const std::vector<Tensor>& outputs) {
  std::vector<Tensor> result;
  for (const auto& y : outputs) result.push_back(at::randn_like(y));
  return result;
}

void compare(const std::vector<Tensor>& inputs, const Bounds& bounds,
             const std::optional<Tensor>& cu_seqlens = {}) {
  const auto typed = in_type(inputs, bounds.type);
  const test::EmulatedDevice device;
  const auto cotangents = cotangents_for(call(gated_delta_rule, cu_seqlens)(typed));
  const auto got = test::evaluate(call(gated_delta_rule, cu_seqlens), typed, cotangents);
  EXPECT_TRUE(device.was_used());
  EXPECT_EQ(got.outputs[0].scalar_type(), bounds.type);
  EXPECT_EQ(got.outputs[1].scalar_type(), at::kFloat);
  for (size_t i = 0; i < typed.size(); ++i) {
    EXPECT_EQ(got.gradients[i].scalar_type(), typed[i].scalar_type()) << i;
  }
  expect_within(got,
                test::evaluate(call(gated_delta_rule_reference, cu_seqlens),
                               test::as_doubles(typed), test::as_doubles(cotangents)),
                bounds);
}

TEST(GatedDeltaRuleOnDevice, EqualsItsDefinitionInEveryType) {
  at::manual_seed(1);
  for (const auto& bounds : {kFloat32, kBfloat16, kFloat16}) {
    SCOPED_TRACE(bounds.type);
    compare(random_inputs({1, 70, 1, 1, 16, 16}, 1), bounds);
  }
}

// Padded and unpadded head sizes, of the studies and others, with value heads that share a head;
// tails of a chunk.
TEST(GatedDeltaRuleOnDevice, EqualsItsDefinitionAtEverySize) {
  at::manual_seed(2);
  const std::vector<std::pair<Sizes, Bounds>> cases = {
      {{1, 1, 1, 1, 1, 1}, kFloat32},     {{2, 37, 1, 3, 7, 5}, kFloat32},
      {{2, 37, 1, 3, 7, 5}, kBfloat16},   {{1, 33, 1, 1, 42, 84}, kFloat32},
      {{1, 65, 1, 1, 42, 84}, kBfloat16}, {{1, 30, 1, 2, 48, 96}, kBfloat16},
      {{1, 64, 1, 1, 64, 64}, kFloat16},  {{1, 66, 1, 1, 128, 128}, kBfloat16},
      {{1, 20, 1, 1, 128, 128}, kFloat32}};
  for (const auto& [s, bounds] : cases) {
    SCOPED_TRACE(testing::Message() << s.d_k << " by " << s.d_v << ", " << bounds.type);
    compare(random_inputs(s, s.batch), bounds);
  }
}

TEST(GatedDeltaRuleOnDevice, TakesHeadsOf256Channels) {
  at::manual_seed(3);
  compare(random_inputs({1, 34, 1, 1, 256, 16}, 1), kBfloat16);
  compare(random_inputs({1, 34, 1, 1, 16, 256}, 1), kBfloat16);
  compare(random_inputs({1, 34, 1, 1, 250, 40}, 1), kFloat32);
}

TEST(GatedDeltaRuleOnDevice, KeepsDocumentsApart) {
  at::manual_seed(4);
  const std::vector<int64_t> cuts = {0, 1, 2, 19, 60, 92, 119, 120};
  const auto inputs = random_inputs({2, 60, 1, 2, 16, 24}, static_cast<int64_t>(cuts.size()) - 1);
  compare(inputs, kFloat32, test::offsets(cuts));
  compare(inputs, kBfloat16, test::offsets(cuts));
}

TEST(GatedDeltaRuleOnDevice, TakesGatesOfZeroAndGatesThatForget) {
  at::manual_seed(5);
  const Sizes s{1, 75, 1, 1, 24, 40};
  for (const double gate : {0.0, -20.0, -60.0}) {
    SCOPED_TRACE(gate);
    auto inputs = random_inputs(s, 1);
    inputs[3] = at::full_like(inputs[3], gate) + 0.01 * inputs[3];
    compare(inputs, kFloat32);
  }
  // A reset among gates that hardly decay: their differences must not drown in the running sum.
  auto inputs = random_inputs(s, 1);
  inputs[3] = 0.01 * inputs[3];
  inputs[3].select(1, 3).fill_(-5000);
  inputs[3].select(1, 40).fill_(-60);
  compare(inputs, kFloat32);
}

TEST(GatedDeltaRuleOnDevice, InfiniteDecayIsAReset) {
  at::manual_seed(6);
  auto inputs = random_inputs({1, 40, 1, 1, 8, 8}, 1);
  inputs[3].select(1, 20).fill_(-std::numeric_limits<float>::infinity());
  const test::EmulatedDevice device;
  const auto cotangents = cotangents_for(call(gated_delta_rule)(inputs));
  const auto got = test::evaluate(call(gated_delta_rule), inputs, cotangents);
  for (const auto& x : got.gradients) EXPECT_TRUE(x.isfinite().all().item<bool>());
  std::vector<Tensor> later;
  for (int i = 0; i < 5; ++i) later.push_back(inputs[i].slice(1, 20).clone());
  later[3].select(1, 0).zero_();
  const auto alone = call(gated_delta_rule)(later);
  EXPECT_LE(relative_norm(got.outputs[0].slice(1, 20), alone[0]), 1e-6);
}

TEST(GatedDeltaRuleOnDevice, TakesStrengthsOfZeroAndTwoAndRepeatedKeys) {
  at::manual_seed(7);
  auto inputs = random_inputs({1, 70, 1, 1, 16, 32}, 1);
  inputs[1] = inputs[1].narrow(1, 0, 1).expand_as(inputs[1]).contiguous();
  inputs[3] = 0.001 * inputs[3];
  const Bounds bounds{at::kFloat, 3e-5, 3e-5, 3e-5};  // with 2, what was written never fades
  for (const double beta : {0.0, 1.0, 2.0}) {
    SCOPED_TRACE(beta);
    inputs[4] = at::full_like(inputs[4], beta);
    compare(inputs, bounds);
  }
}

// Views of one wider tensor, as a mixer's projections are; a gradient that is no row.
TEST(GatedDeltaRuleOnDevice, TakesStridedInputsAndGradients) {
  at::manual_seed(8);
  const auto inputs = random_inputs({2, 35, 2, 2, 12, 20}, 2);
  const test::Function strided = [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    const auto all = at::cat({x[0], x[1], x[2]}, -1);
    const auto [y, state] = gated_delta_rule(all.slice(-1, 0, 12), all.slice(-1, 12, 24),
                                             all.slice(-1, 24), x[3], x[4], {}, x[5], {}, 0);
    return {y.transpose(1, 3), state};
  };
  const test::EmulatedDevice device;
  const auto plain = call(gated_delta_rule)(inputs);
  const std::vector<Tensor> cotangents = {at::randn_like(plain[0]), at::randn_like(plain[1])};
  const auto got =
      test::evaluate(strided, inputs, {cotangents[0].transpose(1, 3).contiguous(), cotangents[1]});
  const auto expected = test::evaluate(call(gated_delta_rule), inputs, cotangents);
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    EXPECT_TRUE(at::equal(got.gradients[i], expected.gradients[i])) << i;
  }
}

// Without an initial state, and with a gradient of the final state or of the output alone.
TEST(GatedDeltaRuleOnDevice, TakesWhatIsAbsent) {
  at::manual_seed(9);
  auto inputs = random_inputs({1, 40, 1, 2, 8, 8}, 1);
  inputs.pop_back();
  compare(inputs, kFloat32);
  for (const size_t only : {0, 1}) {
    SCOPED_TRACE(only);
    const auto one = [only](const test::Function& f) -> test::Function {
      return [=](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {f(x)[only]}; };
    };
    const test::EmulatedDevice device;
    const auto cotangents = cotangents_for(one(call(gated_delta_rule))(inputs));
    expect_within(test::evaluate(one(call(gated_delta_rule)), inputs, cotangents),
                  test::evaluate(one(call(gated_delta_rule_reference)), test::as_doubles(inputs),
                                 test::as_doubles(cotangents)),
                  kFloat32);
  }
}

// Long enough that the plan cuts it into runs; the short document is one run.
TEST(GatedDeltaRuleOnDevice, CutsLongSequencesIntoRuns) {
  at::manual_seed(10);
  cuda::DeltaRuleShape shape{};
  shape.sequences = 2;
  shape.heads = shape.value_heads = 1;
  shape.steps = 470;
  shape.longest = 440;
  shape.d_k = shape.d_v = 16;
  shape.solve = true;
  ASSERT_GT(cuda::emulation::emulated_kernels()->delta_rule_backward_plan(shape, 0).scan.run, 0);
  auto inputs = random_inputs({1, 470, 1, 1, 16, 16}, 2);
  inputs[3] = 0.1 * inputs[3];
  compare(inputs, kFloat32, test::offsets({0, 30, 470}));
}

TEST(GatedDeltaRuleOnDevice, AgreesWithFiniteDifferences) {
  at::manual_seed(11);
  const auto inputs = random_inputs({1, 37, 1, 2, 6, 5}, 1);
  const test::EmulatedDevice device;
  const auto f = call(gated_delta_rule);
  const auto cotangents = cotangents_for(f(inputs));
  const auto exact = test::evaluate(f, inputs, cotangents);
  const auto loss = [&](const std::vector<Tensor>& at_inputs) {
    double sum = 0;
    const auto outputs = f(at_inputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      sum += (outputs[i].to(at::kDouble) * cotangents[i]).sum().item<double>();
    }
    return sum;
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    const double h = 2e-3;  // where rounding and curvature are alike
    const auto direction = at::randn_like(inputs[i]);
    auto moved = inputs;
    moved[i] = inputs[i] + h * direction;
    const double above = loss(moved);
    moved[i] = inputs[i] - h * direction;
    const double difference = (above - loss(moved)) / (2 * h);
    const double gradient = (exact.gradients[i] * direction).sum().item<double>();
    const double scale = (exact.gradients[i] * direction).abs().sum().item<double>();
    EXPECT_NEAR(gradient / scale, difference / scale, 2e-4) << "input " << i;
  }
}

TEST(GatedDeltaRuleOnDevice, NoOrderOfThreadsChangesABit) {
  at::manual_seed(12);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const auto inputs = in_type(random_inputs({1, 70, 1, 2, 32, 40}, 1), type);
    const test::EmulatedDevice device;
    const auto cotangents = cotangents_for(call(gated_delta_rule)(inputs));
    EXPECT_EQ(
        cuda::emulation::order_dependence(
            [&] {
              return test::bytes_of(test::evaluate(call(gated_delta_rule), inputs, cotangents));
            },
            2),
        "");
  }
}

TEST(GatedDeltaRuleOnDevice, LeavesFloat64AndWideHeadsToTheOtherForms) {
  at::manual_seed(13);
  const test::EmulatedDevice device;
  call(gated_delta_rule)(test::as_doubles(random_inputs({1, 20, 1, 1, 8, 8}, 1)));
  call(gated_delta_rule)(random_inputs({1, 3, 1, 1, 257, 8}, 1));
  EXPECT_FALSE(device.was_used());
}

TEST(GatedDeltaRuleOnDevice, ComputesMixedTypesInFloat32) {
  at::manual_seed(14);
  auto inputs = random_inputs({1, 20, 1, 1, 8, 8}, 1);
  const test::EmulatedDevice device;
  inputs[2] = inputs[2].to(at::kBFloat16);
  const auto mixed = call(gated_delta_rule)(inputs);
  inputs[2] = inputs[2].to(at::kFloat);
  const auto wide = call(gated_delta_rule)(inputs);
  EXPECT_EQ(mixed[0].scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(mixed[0], wide[0].to(at::kBFloat16)));
  EXPECT_TRUE(at::equal(mixed[1], wide[1]));
}

TEST(GatedDeltaRuleOnDevice, AutocastDoesNotReachIntoIt) {
  at::manual_seed(15);
  const auto inputs = random_inputs({1, 20, 1, 1, 8, 8}, 1);
  const test::EmulatedDevice device;
  const auto expected = call(gated_delta_rule)(inputs);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const auto got = call(gated_delta_rule)(inputs);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_TRUE(at::equal(got[0], expected[0]));
}

TEST(GatedDeltaRuleOnDevice, RefusesSecondDerivatives) {
  at::manual_seed(16);
  auto inputs = random_inputs({1, 5, 1, 1, 2, 2}, 1);
  const test::EmulatedDevice device;
  inputs[0].set_requires_grad(true);
  const auto loss = call(gated_delta_rule)(inputs)[0].sum();
  EXPECT_THAT([&] { loss.backward({}, /*retain_graph=*/true, /*create_graph=*/true); },
              testing::ThrowsMessage<std::exception>(
                  testing::HasSubstr("gated_delta_rule has no second derivative")));
}

}  // namespace
}  // namespace gamut::ops
