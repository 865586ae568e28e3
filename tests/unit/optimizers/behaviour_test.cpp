// What both optimizers promise: groups, missing gradients, exact resume, refusals in words.
#include <ATen/autocast_mode.h>
#include <gamut/capturable.h>

#include "support.h"

namespace gamut::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::vector<std::vector<int64_t>> kShapes = {{6, 10}, {10, 6}, {6, 10}, {8, 8}};

class Optimizers : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, Optimizers, ::testing::Values("adamw", "muon"),
                         [](const auto& info) { return info.param; });

TEST_P(Optimizers, ResumeBitForBitFromTheirState) {
  const auto weights = parameters(kShapes);
  auto optimizer = make(GetParam(), {{weights, {}}}, {});
  for (uint64_t step = 0; step < 3; ++step) {
    set_gradients(weights, step);
    optimizer->step();
  }
  const auto copies = clone(weights);
  auto resumed = make(GetParam(), {{copies, {}}}, {});
  resumed->load_state(clone(optimizer->state()));
  for (uint64_t step = 3; step < 6; ++step) {
    set_gradients(weights, step);
    set_gradients(copies, step);
    optimizer->step();
    resumed->step();
  }
  expect_equal(weights, copies);
  expect_equal(optimizer->state(), resumed->state());
}

TEST_P(Optimizers, LeaveParametersWithoutGradientsAlone) {
  const auto weights = parameters(kShapes);
  const auto before = clone(weights);
  auto optimizer = make(GetParam(), {{weights, {{"weight_decay", 0.5}}}}, {});
  set_gradients(weights, 1);
  at::Tensor(weights[1].tensor).mutable_grad().reset();
  optimizer->step();
  EXPECT_TRUE(at::equal(weights[1].tensor, before[1].tensor));
  EXPECT_FALSE(at::equal(weights[0].tensor, before[0].tensor));
  EXPECT_FALSE(weights[0].tensor.grad_fn()) << "no autograd inside";
  for (const auto& entry : optimizer->state()) EXPECT_FALSE(entry.tensor.requires_grad());
}

TEST_P(Optimizers, GroupsHaveOptionsOfTheirOwn) {
  const auto weights = parameters(kShapes);
  const auto before = clone(weights);
  auto optimizer = make(GetParam(), {{{weights[0], weights[1]}, {{"lr", 0.0}}}, {{weights[2]}, {}}},
                        {{"lr", 0.5}});
  set_gradients(weights, 1);
  optimizer->step();
  EXPECT_TRUE(at::equal(weights[0].tensor, before[0].tensor));
  EXPECT_FALSE(at::equal(weights[2].tensor, before[2].tensor));
  optimizer->groups()[0].options.set("lr", 0.1);
  optimizer->step();
  EXPECT_FALSE(at::equal(weights[0].tensor, before[0].tensor));
}

TEST_P(Optimizers, WeightDecayShrinksByTheLearningRateTimesIt) {
  const auto weights = parameters({{6, 10}});
  const auto before = weights[0].tensor.detach().clone();
  auto optimizer = make(GetParam(), {{weights, {}}}, {{"lr", 0.1}, {"weight_decay", 0.5}});
  at::Tensor(weights[0].tensor).mutable_grad() = at::zeros({6, 10});
  optimizer->step();
  EXPECT_TRUE(at::allclose(weights[0].tensor.detach(), before * 0.95, 1e-6, 0));
}

TEST_P(Optimizers, MemoryLayoutAndAutocastChangeNothing) {
  const auto weights = parameters(kShapes);
  auto copies = clone(weights);
  copies[0].tensor = weights[0].tensor.detach().t().contiguous().t().set_requires_grad(true);
  auto plain = make(GetParam(), {{weights, {}}}, {});
  auto other = make(GetParam(), {{copies, {}}}, {});
  for (uint64_t step = 0; step < 3; ++step) {
    set_gradients(weights, step);
    for (size_t i = 0; i < weights.size(); ++i) {
      const auto gradient = weights[i].tensor.grad();
      copies[i].tensor.mutable_grad() = gradient.t().contiguous().t();
    }
    plain->step();
    at::autocast::set_autocast_enabled(at::kCPU, true);
    other->step();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
  for (size_t i = 0; i < weights.size(); ++i) {
    EXPECT_TRUE(at::allclose(weights[i].tensor, copies[i].tensor, 1e-6, 1e-7)) << i;
  }
}

// As a recorded step is replayed: rates change between replays, and tensors stay where they are.
TEST_P(Optimizers, ReadLiveOptionsWhereARecordedStepFindsThem) {
  const auto weights = parameters(kShapes);
  const auto copies = clone(weights);
  auto plain = make(GetParam(), {{weights, {}}}, {});
  auto recorded = make(GetParam(), {{copies, {}}}, {});
  Capturable* const steps = capturable(*recorded);
  ASSERT_NE(steps, nullptr);
  for (uint64_t step = 0; step < 4; ++step) {
    for (auto* optimizer : {plain.get(), recorded.get()}) {
      auto& options = optimizer->groups()[0].options;
      for (const auto& live : steps->live_options()) {
        options.set(live, options.number(live) * 0.9);
      }
    }
    set_gradients(weights, step);
    set_gradients(copies, step);
    steps->prepare_step();
    const auto prepared = recorded->groups()[0].options;
    for (const auto& live : steps->live_options()) {
      recorded->groups()[0].options.set(live, 0.123);  // too late for this step
    }
    plain->step();
    steps->step_on_device();
    recorded->groups()[0].options = prepared;
    expect_equal(weights, copies);
  }
  expect_equal(plain->state(), recorded->state());
}

TEST_P(Optimizers, SayWhichStateDoesNotFit) {
  auto optimizer = make(GetParam(), {{parameters({{3, 4}, {4, 3}}), {}}}, {});
  const auto other = make(GetParam(), {{parameters({{3, 5}}), {}}}, {});
  NamedTensors state = clone(other->state());
  state.push_back({"extra/p9", at::zeros({1})});
  const auto before = clone(optimizer->state());
  const std::string kind = GetParam() == "muon" ? "momentum" : "exp_avg";
  EXPECT_THAT(sentence_of([&] { optimizer->load_state(state); }),
              AllOf(HasSubstr("missing: "), HasSubstr("`" + kind + "/p1`"),
                    HasSubstr("`" + kind + "/p0` (saved float [3, 5], here float [3, 4])"),
                    HasSubstr("unexpected: `extra/p9`")));
  expect_equal(optimizer->state(), before);
}

TEST_P(Optimizers, RefuseDoubtfulParametersByName) {
  const auto weights = parameters({{3, 4}, {4, 3}});
  const auto refusal = [](const NamedTensors& first, const NamedTensors& second = {}) {
    return sentence_of([&] { make(GetParam(), {{first, {}}, {second, {}}}, {}); });
  };
  EXPECT_THAT(refusal(weights, weights), HasSubstr("`p0` was given to this optimizer twice"));
  EXPECT_THAT(refusal({weights[0], {"again", weights[0].tensor}}),
              HasSubstr("`p0` and `again` are one tensor"));
  EXPECT_THAT(refusal({{"ids", at::ones({2, 2}, at::kLong)}}), HasSubstr("parameter `ids` is"));
  EXPECT_THAT(refusal({{"sum", weights[0].tensor + 1}}), HasSubstr("`sum` is the result"));
  EXPECT_EQ(refusal(weights), "nothing thrown");
}

TEST_P(Optimizers, SayThatAParameterMovedToAnotherType) {
  auto weights = parameters({{3, 4}});
  auto optimizer = make(GetParam(), {{weights, {}}}, {});
  weights[0].tensor.set_data(weights[0].tensor.detach().to(at::kDouble));
  set_gradients(weights, 1);
  EXPECT_THAT(sentence_of([&] { optimizer->step(); }), HasSubstr("make the optimizer after"));
}

TEST(Muon, RefusesAParameterThatIsNoMatrixByName) {
  for (const auto& shape : std::vector<std::vector<int64_t>>{{4}, {4, 4, 4}, {}}) {
    EXPECT_THAT(sentence_of([&] { make("muon", {{parameters({shape}), {}}}, {}); }),
                HasSubstr("parameter `p0` has shape"));
  }
}

TEST(Muon, ZeroGradientsGiveZeroUpdates) {
  for (const char* dtype : {"bfloat16", "float32"}) {
    const auto weights = parameters(kShapes);
    const auto before = clone(weights);
    auto optimizer = make("muon", {{weights, {{"ns_dtype", std::string(dtype)}}}}, {});
    for (const auto& p : weights) at::Tensor(p.tensor).mutable_grad() = at::zeros_like(p.tensor);
    optimizer->step();
    expect_equal(weights, before);
  }
}

TEST(Muon, MatricesOfOneShapeAreEachOrthogonalisedAlone) {
  const auto together = parameters({{6, 10}, {6, 10}, {10, 6}});
  const auto alone = clone(together);
  set_gradients(together, 1);
  set_gradients(alone, 1);
  make("muon", {{together, {{"ns_dtype", std::string("float32")}}}}, {})->step();
  for (const auto& p : alone) {
    make("muon", {{{p}, {{"ns_dtype", std::string("float32")}}}}, {})->step();
  }
  for (size_t i = 0; i < alone.size(); ++i) {
    EXPECT_TRUE(at::allclose(together[i].tensor, alone[i].tensor, 1e-5, 1e-6));
  }
}

// All singular values of the update end near 1, so its norm is that of an orthogonal matrix.
TEST(Muon, UpdatesAreNearlyOrthogonal) {
  for (const char* coefficients : {"keller", "polar_express"}) {
    const auto weights = parameters({{32, 64}});
    const auto before = weights[0].tensor.detach().clone();
    set_gradients(weights, 1);
    make("muon", {{weights, {{"coefficients", std::string(coefficients)}, {"lr", 1.0}}}}, {})
        ->step();
    const auto values = at::linalg_svdvals((before - weights[0].tensor).detach());
    EXPECT_GT(values.min().item<double>(), 0.6) << coefficients;
    EXPECT_LT(values.max().item<double>(), 1.3) << coefficients;
  }
}

}  // namespace
}  // namespace gamut::test
