// Both forms of the gated delta rule, the fused kernels and the composition of LibTorch's
// operators, against fixtures, the step-by-step definition and finite differences.
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include "ops/gated_delta_rule/delta_rule.h"
#include "ops/gated_delta_rule/triangular.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using test::Evaluated;
using test::Fixture;

const std::vector<std::string> kFixtures = {"gdr_plain",        "gdr_one_step",
                                            "gdr_strong_decay", "gdr_beta_near_1",
                                            "gdr_neg_eigval",   "gdr_grouped_values"};

struct Sizes {
  int64_t batch, time, heads, value_heads, d_k, d_v;
};

// q, k, v, g, beta, initial state; keys of length one.
std::vector<Tensor> random_inputs(const Sizes& s, int64_t sequences, double gate = 0.5) {
  const auto unit = [](const Tensor& x) { return x / x.norm(2, -1, true); };
  const auto options = at::TensorOptions().dtype(at::kDouble);
  return {unit(at::randn({s.batch, s.time, s.heads, s.d_k}, options)),
          unit(at::randn({s.batch, s.time, s.heads, s.d_k}, options)),
          at::randn({s.batch, s.time, s.value_heads, s.d_v}, options),
          -gate * at::rand({s.batch, s.time, s.value_heads}, options),
          2 * at::rand({s.batch, s.time, s.value_heads}, options),
          at::randn({sequences, s.value_heads, s.d_k, s.d_v}, options)};
}

DeltaRuleInput as_input(const std::vector<Tensor>& x, const Tensor& cu_seqlens, double scale) {
  return {x[0], x[1], x[2], x[3], x[4], x.size() > 5 ? x[5] : Tensor(), cu_seqlens, scale};
}

struct Form {
  const char* name;
  DeltaRuleResult (*run)(const DeltaRuleInput&, int64_t);
};
const std::vector<Form> kForms = {{"Composed", delta_rule_composed}, {"Fused", delta_rule_fused}};

test::Function chunked(const Form& form, int64_t chunk_size, const Tensor& cu_seqlens = {},
                       double scale = 0.3) {
  return [=](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    const auto r = form.run(as_input(x, cu_seqlens, scale), chunk_size);
    return {r.output, r.final_state};
  };
}

test::Function reference(const Tensor& cu_seqlens = {}, double scale = 0.3) {
  return [=](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    const auto r = delta_rule_reference(as_input(x, cu_seqlens, scale));
    return {r.output, r.final_state};
  };
}

void expect_equal(const Evaluated& got, const Evaluated& expected, double tolerance) {
  ASSERT_EQ(got.outputs.size(), expected.outputs.size());
  for (size_t i = 0; i < got.outputs.size(); ++i) {
    EXPECT_LE(test::relative_error(got.outputs[i], expected.outputs[i]), tolerance)
        << "output " << i;
  }
  for (size_t i = 0; i < got.gradients.size(); ++i) {
    EXPECT_LE(test::relative_error(got.gradients[i], expected.gradients[i]), tolerance)
        << "gradient " << i;
  }
}

void compare_with_reference(const Form& form, const std::vector<Tensor>& inputs, int64_t chunk_size,
                            const Tensor& cu_seqlens, double tolerance) {
  const auto shapes = reference(cu_seqlens)(inputs);
  const std::vector<Tensor> cotangents = {at::randn_like(shapes[0]), at::randn_like(shapes[1])};
  expect_equal(test::evaluate(chunked(form, chunk_size, cu_seqlens), inputs, cotangents),
               test::evaluate(reference(cu_seqlens), inputs, cotangents), tolerance);
}

struct FixtureRun {
  Evaluated got, expected;
};

FixtureRun run_fixture(const Form& form, const std::string& name, at::ScalarType dtype,
                       int64_t chunk_size) {
  const Fixture f(name, dtype);
  std::vector<Tensor> inputs = {f["q"], f["k"], f["v"], f["g"], f["beta"]};
  Evaluated expected{{f["o"], f["ht"]}, {f["dq"], f["dk"], f["dv"], f["dg"], f["dbeta"]}};
  if (f.has("h0")) {
    inputs.push_back(f["h0"]);
    expected.gradients.push_back(f["dh0"]);
  }
  const double scale = 1 / std::sqrt(static_cast<double>(f["q"].size(3)));
  const auto run = chunk_size > 0 ? chunked(form, chunk_size, {}, scale) : reference({}, scale);
  return {test::evaluate(run, inputs, {f["do"], f["dht"]}), expected};
}

class GatedDeltaRule : public testing::TestWithParam<Form> {};
INSTANTIATE_TEST_SUITE_P(, GatedDeltaRule, testing::ValuesIn(kForms),
                         [](const auto& info) { return info.param.name; });

TEST_P(GatedDeltaRule, EqualsTheFixturesInFloat64) {
  for (const auto& name : kFixtures) {
    for (const int64_t chunk_size : {0, 16, 32, 64, 128}) {
      SCOPED_TRACE(name + ", chunk " + std::to_string(chunk_size));
      const auto run = run_fixture(GetParam(), name, at::kDouble, chunk_size);
      expect_equal(run.got, run.expected, 2e-7);
    }
  }
}

TEST_P(GatedDeltaRule, EqualsTheFixturesInFloat32) {
  for (const auto& name : kFixtures) {
    for (const int64_t chunk_size : {16, 32, 64}) {
      SCOPED_TRACE(name + ", chunk " + std::to_string(chunk_size));
      const auto run = run_fixture(GetParam(), name, at::kFloat, chunk_size);
      expect_equal({run.got.outputs, {}}, {run.expected.outputs, {}}, 1e-5);
      expect_equal(run.got, {run.got.outputs, run.expected.gradients}, 2e-5);
    }
  }
}

TEST(UnitLowerInverse, InvertsAndIgnoresTheRest) {
  at::manual_seed(1);
  for (const int64_t c : {16, 32, 64, 128}) {
    const auto n = at::randn({3, c, c}, at::kDouble) * 0.2;
    const auto lower = n.tril(-1) + at::eye(c, at::kDouble);
    const auto product = at::bmm(lower, unit_lower_inverse(n));
    EXPECT_LE((product - at::eye(c, at::kDouble)).abs().max().item<double>(), 1e-10) << c;
  }
}

TEST_P(GatedDeltaRule, EqualsItsDefinitionAtOddSizes) {
  at::manual_seed(1);
  const std::vector<Sizes> sizes = {{1, 1, 1, 1, 1, 1},     {3, 5, 1, 3, 7, 5},
                                    {1, 33, 5, 5, 42, 84},  {2, 100, 2, 4, 16, 24},
                                    {1, 130, 3, 3, 8, 256}, {1, 65, 1, 1, 256, 3}};
  for (const auto& s : sizes) {
    for (const int64_t chunk_size : {16, 64}) {
      SCOPED_TRACE(testing::Message() << "time " << s.time << ", chunk " << chunk_size);
      compare_with_reference(GetParam(), random_inputs(s, s.batch), chunk_size, {}, 1e-11);
    }
  }
}

TEST_P(GatedDeltaRule, KeepsDocumentsApart) {
  at::manual_seed(2);
  const Sizes s{2, 100, 2, 4, 8, 12};
  for (const auto& cuts : std::vector<std::vector<int64_t>>{
           {0, 100, 200}, {0, 30, 100, 101, 140, 200}, {0, 1, 2, 3, 17, 33, 100, 132, 196, 200}}) {
    const auto inputs = random_inputs(s, static_cast<int64_t>(cuts.size()) - 1);
    for (const int64_t chunk_size : {16, 32}) {
      compare_with_reference(GetParam(), inputs, chunk_size, test::offsets(cuts), 1e-11);
    }
  }
}

TEST_P(GatedDeltaRule, HandlesGatesOfZeroAndGatesThatForgetEverything) {
  at::manual_seed(3);
  const Sizes s{1, 70, 2, 2, 8, 8};
  for (const double gate : {0.0, 60.0, 1000.0}) {
    SCOPED_TRACE(gate);
    compare_with_reference(GetParam(), random_inputs(s, 1, gate), 32, {}, 1e-11);
  }
  auto mixed = random_inputs(s, 1, 0.0);
  mixed[3].narrow(1, 20, 1).fill_(-2000.0);
  compare_with_reference(GetParam(), mixed, 32, {}, 1e-11);
}

TEST_P(GatedDeltaRule, AgreesWithFiniteDifferences) {
  at::manual_seed(4);
  const auto inputs = random_inputs({2, 37, 1, 2, 6, 5}, 2);
  test::expect_gradients(chunked(GetParam(), 16), inputs);
  test::expect_gradients(chunked(GetParam(), 16, test::offsets({0, 20, 37, 74})),
                         random_inputs({2, 37, 1, 2, 6, 5}, 3));
}

TEST_P(GatedDeltaRule, PiecesWithACarriedStateEqualTheWholeWithGradients) {
  at::manual_seed(5);
  const Sizes s{2, 90, 2, 2, 8, 6};
  const auto inputs = random_inputs(s, 2);
  const test::Function pieces =
      [this_form = GetParam()](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    std::vector<Tensor> outputs;
    Tensor state = x[5];
    for (const auto& [from, to] : {std::pair(0, 41), {41, 42}, {42, 90}}) {
      std::vector<Tensor> part;
      for (int i = 0; i < 5; ++i) part.push_back(x[i].slice(1, from, to));
      part.push_back(state);
      const auto y = chunked(this_form, 16)(part);
      outputs.push_back(y[0]);
      state = y[1];
    }
    return {at::cat(outputs, 1), state};
  };
  const auto shapes = reference()(inputs);
  const std::vector<Tensor> cotangents = {at::randn_like(shapes[0]), at::randn_like(shapes[1])};
  expect_equal(test::evaluate(pieces, inputs, cotangents),
               test::evaluate(chunked(GetParam(), 32), inputs, cotangents), 1e-11);
}

TEST_P(GatedDeltaRule, GradientsOfTheStateAlone) {
  at::manual_seed(6);
  const auto inputs = random_inputs({1, 40, 2, 2, 4, 4}, 1);
  const auto state_only = [](const test::Function& f) -> test::Function {
    return [=](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {f(x)[1]}; };
  };
  const std::vector<Tensor> cotangent = {at::randn({1, 2, 4, 4}, at::kDouble)};
  expect_equal(test::evaluate(state_only(chunked(GetParam(), 16)), inputs, cotangent),
               test::evaluate(state_only(reference()), inputs, cotangent), 1e-11);
}

TEST(DeltaRuleSteps, StepByStepEqualsItsDefinition) {
  at::manual_seed(7);
  const auto inputs = random_inputs({3, 9, 2, 4, 6, 10}, 3);
  const auto expected = reference()(inputs);
  const auto got = delta_rule_recurrent(as_input(inputs, {}, 0.3));
  EXPECT_CLOSE(got.output, expected[0], 1e-13);
  EXPECT_CLOSE(got.final_state, expected[1], 1e-13);
}

// One step of several sequences as attention lays it out: [batch, heads, time, channels],
// transposed.
TEST(DeltaRuleSteps, TakesOneStepOfTransposedHeads) {
  const auto by_steps = random_inputs({3, 1, 2, 2, 16, 12}, 3);
  auto transposed = by_steps;
  for (size_t i = 0; i < 3; ++i) {
    const auto& x = by_steps[i];
    transposed[i] = at::empty({3, 2, 1, x.size(3)}, x.options()).transpose(1, 2).copy_(x);
  }
  ASSERT_NE(transposed[0].stride(1), by_steps[0].stride(1));
  const auto expected = reference()(by_steps);
  const auto got = chunked(kForms[1], 16, {})(transposed);
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_LE(test::relative_error(got[i], expected[i]), 1e-13) << "output " << i;
  }
}

TEST_P(GatedDeltaRule, Bfloat16InputsAreComputedInFloat32) {
  at::manual_seed(8);
  auto rounded = random_inputs({1, 150, 2, 2, 16, 16}, 1);
  std::vector<Tensor> low;
  for (auto& x : rounded) {
    low.push_back(x.to(at::kBFloat16));
    x = low.back().to(at::kDouble);
  }
  const std::vector<Tensor> cotangents = {at::randn({1, 150, 2, 16}, at::kDouble),
                                          at::randn({1, 2, 16, 16}, at::kDouble)};
  const auto got = test::evaluate(chunked(GetParam(), 32), low, cotangents);
  EXPECT_EQ(got.outputs[0].scalar_type(), at::kBFloat16);
  EXPECT_EQ(got.outputs[1].scalar_type(), at::kFloat);
  EXPECT_EQ(got.gradients[0].scalar_type(), at::kBFloat16);
  const auto expected = test::evaluate(reference(), rounded, cotangents);
  // One rounding of each result; the state is not rounded at all.
  EXPECT_CLOSE(got.outputs[0], expected.outputs[0], 4e-3);
  EXPECT_CLOSE(got.outputs[1], expected.outputs[1], 1e-5);
  for (size_t i = 0; i < got.gradients.size(); ++i) {
    EXPECT_LE(test::relative_error(got.gradients[i], expected.gradients[i]), 1e-2) << i;
  }
}

TEST_P(GatedDeltaRule, AutocastDoesNotReachIntoIt) {
  at::manual_seed(9);
  std::vector<Tensor> inputs;
  for (const auto& x : random_inputs({1, 40, 1, 1, 8, 8}, 1)) inputs.push_back(x.to(at::kFloat));
  const auto expected = chunked(GetParam(), 16)(inputs);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const auto got = chunked(GetParam(), 16)(inputs);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_TRUE(at::equal(got[0], expected[0]));
}

TEST_P(GatedDeltaRule, RefusesSecondDerivatives) {
  at::manual_seed(10);
  auto inputs = random_inputs({1, 5, 1, 1, 2, 2}, 1);
  inputs[0].set_requires_grad(true);
  const auto loss = chunked(GetParam(), 16)(inputs)[0].sum();
  EXPECT_THROW(loss.backward({}, /*retain_graph=*/true, /*create_graph=*/true), std::exception);
}

TEST_P(GatedDeltaRule, RepeatsBitForBit) {
  at::manual_seed(11);
  std::vector<Tensor> inputs;
  for (const auto& x : random_inputs({2, 90, 3, 3, 12, 20}, 2)) inputs.push_back(x.to(at::kFloat));
  const std::vector<Tensor> cotangents = {at::randn({2, 90, 3, 20}), at::randn({2, 3, 12, 20})};
  const auto a = test::evaluate(chunked(GetParam(), 32), inputs, cotangents);
  const auto b = test::evaluate(chunked(GetParam(), 32), inputs, cotangents);
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    EXPECT_TRUE(at::equal(a.gradients[i], b.gradients[i])) << i;
  }
}

}  // namespace
}  // namespace gamut::ops
