// gamut::gated_delta_rule as it is called, where it is hard: long, strided, packed, in few bits,
// with gates and keys at their limits; its memory, its independence of threads, and what it
// refuses.
#include <c10/core/Allocator.h>
#include <c10/core/GradMode.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include "ops/gated_delta_rule/division.h"
#include "ops/gated_delta_rule/gated_delta_rule.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using test::Evaluated;

Tensor unit(const Tensor& x) {
  return x / x.norm(2, -1, true);
}

struct Sizes {
  int64_t batch, time, heads, value_heads, d_k, d_v;
};

// q, k, v, g, beta, initial state in float64; keys of length one.
std::vector<Tensor> random_inputs(const Sizes& s, int64_t sequences) {
  const auto f64 = at::kDouble;
  return {unit(at::randn({s.batch, s.time, s.heads, s.d_k}, f64)),
          unit(at::randn({s.batch, s.time, s.heads, s.d_k}, f64)),
          at::randn({s.batch, s.time, s.value_heads, s.d_v}, f64),
          -at::rand({s.batch, s.time, s.value_heads}, f64),
          2 * at::rand({s.batch, s.time, s.value_heads}, f64),
          at::randn({sequences, s.value_heads, s.d_k, s.d_v}, f64)};
}

std::vector<Tensor> converted(const std::vector<Tensor>& inputs, at::ScalarType type) {
  std::vector<Tensor> result;
  for (const auto& x : inputs) result.push_back(x.to(type));
  return result;
}

using Operator = decltype(&gated_delta_rule);

test::Function call(Operator f, const std::optional<Tensor>& cu_seqlens = {}, int64_t chunk = 0) {
  return [=](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    const auto initial = x.size() > 5 ? std::optional<Tensor>(x[5]) : std::nullopt;
    const auto [y, state] = f(x[0], x[1], x[2], x[3], x[4], {}, initial, cu_seqlens, chunk);
    return {y, state};
  };
}

std::vector<Tensor> cotangents_for(const Sizes& s, int64_t sequences) {
  return {at::randn({s.batch, s.time, s.value_heads, s.d_v}, at::kDouble),
          at::randn({sequences, s.value_heads, s.d_k, s.d_v}, at::kDouble)};
}

void expect_equal(const Evaluated& got, const Evaluated& expected, double values,
                  double gradients) {
  for (size_t i = 0; i < expected.outputs.size(); ++i) {
    EXPECT_LE(test::relative_error(got.outputs[i], expected.outputs[i]), values) << "output " << i;
  }
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    EXPECT_LE(test::relative_error(got.gradients[i], expected.gradients[i]), gradients)
        << "gradient " << i;
  }
}

// In float64 and float32, against the definition in float64.
void compare(const std::vector<Tensor>& inputs, const std::vector<Tensor>& cotangents,
             const std::optional<Tensor>& cu_seqlens = {}) {
  const auto expected =
      test::evaluate(call(gated_delta_rule_reference, cu_seqlens), inputs, cotangents);
  expect_equal(test::evaluate(call(gated_delta_rule, cu_seqlens), inputs, cotangents), expected,
               1e-11, 1e-11);
  expect_equal(
      test::evaluate(call(gated_delta_rule, cu_seqlens), converted(inputs, at::kFloat), cotangents),
      expected, 1e-5, 2e-5);
}

TEST(GatedDeltaRuleHard, GatesThatForget) {
  at::manual_seed(1);
  const Sizes s{1, 75, 2, 2, 24, 40};
  for (const double gate : {-20.0, -60.0, 0.0}) {
    SCOPED_TRACE(gate);
    auto inputs = random_inputs(s, 1);
    inputs[3] = at::full_like(inputs[3], gate) + 0.01 * inputs[3];
    compare(inputs, cotangents_for(s, 1));
  }
  // A reset among gates that hardly decay: their differences must not drown in the running sum.
  auto inputs = random_inputs(s, 1);
  inputs[3] = 0.01 * inputs[3];
  inputs[3].select(1, 3).fill_(-5000);
  inputs[3].select(1, 40).fill_(-60);
  compare(inputs, cotangents_for(s, 1));
}

TEST(GatedDeltaRuleHard, InfiniteDecayIsAReset) {
  at::manual_seed(2);
  const Sizes s{1, 40, 1, 1, 8, 8};
  auto inputs = converted(random_inputs(s, 1), at::kFloat);
  inputs[3].select(1, 20).fill_(-std::numeric_limits<float>::infinity());
  inputs[3].select(1, 30).fill_(-3e38F);
  const auto got = test::evaluate(call(gated_delta_rule), inputs, cotangents_for(s, 1));
  for (const auto& x : got.gradients) EXPECT_TRUE(x.isfinite().all().item<bool>());
  const auto later = [&](const Tensor& x) { return x.slice(1, 20); };
  const auto alone =
      gated_delta_rule(later(inputs[0]), later(inputs[1]), later(inputs[2]),
                       later(inputs[3]).clone().index_fill_(1, at::tensor({0}, at::kLong), 0),
                       later(inputs[4]), {}, {}, {}, 0);
  EXPECT_CLOSE(later(got.outputs[0]), std::get<0>(alone), 1e-6);
}

TEST(GatedDeltaRuleHard, RepeatedUnitKeysAndDoubledStrength) {
  at::manual_seed(3);
  const Sizes s{1, 100, 1, 2, 16, 48};
  auto inputs = random_inputs(s, 1);
  inputs[1] = inputs[1].narrow(1, 0, 1).expand_as(inputs[1]).contiguous();
  inputs[3] = 0.001 * inputs[3];
  for (const double beta : {1.0, 2.0}) {
    SCOPED_TRACE(beta);
    inputs[4] = at::full_like(inputs[4], beta);
    compare(inputs, cotangents_for(s, 1));
  }
}

TEST(GatedDeltaRuleHard, LongSequences) {
  at::manual_seed(4);
  const Sizes s{1, 65'536, 1, 1, 16, 16};
  auto inputs = random_inputs(s, 1);
  inputs[3] = 0.01 * inputs[3];
  const auto cotangents = cotangents_for(s, 1);
  const auto f64 = test::evaluate(call(gated_delta_rule, {}, 64), inputs, cotangents);
  expect_equal(test::evaluate(call(gated_delta_rule), converted(inputs, at::kFloat), cotangents),
               f64, 1e-5, 2e-5);
  // The last steps, from a state in the middle, by definition.
  const auto part = [&](int64_t from, int64_t to) {
    std::vector<Tensor> x;
    for (int i = 0; i < 5; ++i) x.push_back(inputs[i].slice(1, from, to));
    return x;
  };
  auto last = part(65'500, 65'536);
  const auto first = part(0, 65'500);
  last.push_back(std::get<1>(
      gated_delta_rule(first[0], first[1], first[2], first[3], first[4], {}, inputs[5], {}, 128)));
  EXPECT_CLOSE(f64.outputs[0].slice(1, 65'500), call(gated_delta_rule_reference)(last)[0], 1e-11);
}

TEST(GatedDeltaRuleHard, WidthsThatFillNoVector) {
  at::manual_seed(5);
  for (const auto& [d_k, d_v] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {42, 84}, {17, 15}, {3, 130}, {256, 256}, {100, 31}, {48, 96}}) {
    SCOPED_TRACE(testing::Message() << d_k << " x " << d_v);
    const Sizes s{1, 37, 1, 2, d_k, d_v};
    compare(random_inputs(s, 1), cotangents_for(s, 1));
  }
}

TEST(GatedDeltaRuleHard, EmptyDocumentsAndDocumentsOfOneStep) {
  at::manual_seed(6);
  const Sizes s{2, 50, 1, 3, 8, 20};
  for (const auto& cuts :
       std::vector<std::vector<int64_t>>{{0, 50, 50, 50, 51, 52, 100}, {0, 0, 33, 50, 99, 100}}) {
    std::vector<int64_t> filled = cuts;
    filled.erase(std::unique(filled.begin(), filled.end()), filled.end());
    const auto sequences = static_cast<int64_t>(filled.size()) - 1;
    compare(random_inputs(s, sequences), cotangents_for(s, sequences), test::offsets(cuts));
  }
}

TEST(GatedDeltaRuleHard, ViewsOfAWiderTensor) {
  at::manual_seed(7);
  const auto wide = at::randn({2, 40, 3 * 8 + 3 * 8 + 3 * 12}, at::kFloat);
  const auto q = wide.slice(2, 0, 24).unflatten(2, {3, 8}),
             k = unit(wide.slice(2, 24, 48).unflatten(2, {3, 8})),
             v = wide.slice(2, 48).unflatten(2, {3, 12});
  const auto g = -at::rand({2, 3, 40}).transpose(1, 2), beta = at::rand({2, 40, 3});
  const auto packed = call(gated_delta_rule)(
      {q.contiguous(), k.contiguous(), v.contiguous(), g.contiguous(), beta});
  const auto views = call(gated_delta_rule)({q, k, v, g, beta});
  const auto heads_first = [](const Tensor& x) {
    return x.transpose(1, 2).contiguous().transpose(1, 2);
  };
  const auto moved =
      call(gated_delta_rule)({heads_first(q), heads_first(k), heads_first(v), g, beta});
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(at::equal(packed[i], views[i])) << i;
    EXPECT_TRUE(at::equal(packed[i], moved[i])) << i;
  }
}

double rms_error(const Tensor& got, const Tensor& expected) {
  const auto a = got.to(at::kDouble), b = expected.to(at::kDouble);
  return ((a - b).square().mean() / b.square().mean()).sqrt().item<double>();
}

TEST(GatedDeltaRuleHard, Bfloat16WithGatesInFloat32) {
  at::manual_seed(8);
  const Sizes s{1, 300, 2, 4, 48, 96};
  auto low = random_inputs(s, 1);
  for (int i = 0; i < 6; ++i) low[i] = low[i].to(i < 3 ? at::kBFloat16 : at::kFloat);
  const auto cotangents = cotangents_for(s, 1);
  const auto got = test::evaluate(call(gated_delta_rule), low, cotangents);
  const auto expected =
      test::evaluate(call(gated_delta_rule_reference), converted(low, at::kDouble), cotangents);
  EXPECT_EQ(got.outputs[0].scalar_type(), at::kBFloat16);
  EXPECT_EQ(got.outputs[1].scalar_type(), at::kFloat);
  for (size_t i = 0; i < 2; ++i) EXPECT_LE(rms_error(got.outputs[i], expected.outputs[i]), 5e-3);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(got.gradients[i].scalar_type(), low[i].scalar_type());
    const double bound = i == 3 || i == 4 ? 2e-2 : 8e-3;
    EXPECT_LE(rms_error(got.gradients[i], expected.gradients[i]), bound) << i;
  }
}

TEST(GatedDeltaRuleHard, DoesNotDependOnTheNumberOfThreads) {
  at::manual_seed(9);
  for (const auto& s :
       std::vector<Sizes>{{1, 150, 1, 1, 24, 84}, {2, 150, 2, 6, 16, 40}, {1, 5, 1, 1, 200, 250}}) {
    const auto inputs = converted(random_inputs(s, s.batch), at::kFloat);
    const auto cotangents = converted(cotangents_for(s, s.batch), at::kFloat);
    for (const int more : {2, 3, 7}) {
      test::expect_same_on_threads(call(gated_delta_rule), inputs, cotangents, more);
    }
    const auto no_grad = [&](int count) {
      const test::Threads threads(count);
      return call(gated_delta_rule)(inputs)[0];
    };
    for (const int more : {2, 3, 7}) EXPECT_TRUE(at::equal(no_grad(more), no_grad(1)));
  }
}

TEST(GatedDeltaRuleHard, PiecesOfUnequalDocumentsGiveTheGradientsOfTheWhole) {
  at::manual_seed(12);
  const Sizes s{1, 500, 1, 2, 24, 84};
  const auto cuts = test::offsets({0, 3, 403, 500});
  const auto inputs = converted(random_inputs(s, 3), at::kFloat);
  const auto cotangents = converted(cotangents_for(s, 3), at::kFloat);
  test::expect_same_on_threads(call(gated_delta_rule, cuts), inputs, cotangents, 7);
}

TEST(DeltaRulePiece, CutsWhereTasksAreFewerThanThreads) {
  EXPECT_EQ(delta_rule_piece({{32}, 1, 1, 1}), 32);
  EXPECT_EQ(delta_rule_piece({{32, 32}, 6, 1, 2}), 32);
  EXPECT_EQ(delta_rule_piece({{1}, 1, 4, 16}), 1);
  EXPECT_LT(delta_rule_piece({{32}, 1, 2, 2}), 32);
  EXPECT_LE(delta_rule_piece({{32}, 6, 3, 16}), 16);
  EXPECT_LT(delta_rule_piece({{1, 1, 256}, 1, 2, 2}), 200);
}

// Bytes of tensors alive, as the allocator reports them in this thread.
class LiveBytes final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    live += size;
    peak = std::max(peak, live);
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t live = 0, peak = 0;
};

TEST(GatedDeltaRuleHard, KeepsOneStateAChunk) {
  const Sizes s{1, 2048, 2, 2, 32, 64};
  auto inputs = converted(random_inputs(s, 1), at::kFloat);
  for (auto& x : inputs) x.set_requires_grad(true);
  const auto bytes = std::make_shared<LiveBytes>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, bytes);
  for (const int64_t chunk : {32, 64}) {
    const int64_t before = bytes->live;
    const auto y = call(gated_delta_rule, {}, chunk)(inputs);
    const int64_t state = 2 * 32 * 64 * 4, output = 2048 * 2 * 64 * 4;
    const int64_t saved = bytes->live - before - output - state;
    const int64_t states = 2048 / chunk * state;
    EXPECT_NEAR(static_cast<double>(saved), static_cast<double>(states), 4096) << chunk;
  }
}

TEST(GatedDeltaRuleHard, DecodesLikeItsDefinition) {
  at::manual_seed(10);
  const c10::AutoGradMode no_grad(false);
  for (const auto type : {at::kFloat, at::kDouble}) {
    for (const int64_t time : {1, 3, 8}) {
      for (const auto& [d_k, d_v] : std::vector<std::pair<int64_t, int64_t>>{
               {42, 84}, {48, 96}, {5, 1}, {64, 64}, {33, 150}}) {
        const Sizes s{2, time, 2, 4, d_k, d_v};
        auto inputs = random_inputs(s, 2);
        for (const bool from_zero : {false, true}) {
          if (from_zero) inputs.pop_back();
          const auto expected = call(gated_delta_rule_reference)(inputs);
          const auto got = call(gated_delta_rule)(converted(inputs, type));
          const double tolerance = type == at::kFloat ? 2e-6 : 1e-13;
          EXPECT_CLOSE(got[0], expected[0], tolerance);
          EXPECT_CLOSE(got[1], expected[1], tolerance);
        }
      }
    }
  }
}

TEST(GatedDeltaRuleHard, SaysWhatDoesNotFit) {
  const Sizes s{1, 5, 2, 4, 3, 6};
  const auto message = [&](const std::function<void(std::vector<Tensor>&)>& spoil,
                           int64_t chunk = 0) -> std::string {
    auto inputs = random_inputs(s, 1);
    spoil(inputs);
    try {
      call(gated_delta_rule, {}, chunk)(inputs);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  using testing::HasSubstr;
  EXPECT_THAT(message([](auto& x) { x[1] = x[1].narrow(3, 0, 2); }),
              HasSubstr("q and k must both"));
  EXPECT_THAT(message([](auto& x) { x[2] = x[2].narrow(1, 0, 4); }), HasSubstr("v must be"));
  EXPECT_THAT(message([](auto& x) { x[2] = x[2].narrow(2, 0, 3); }), HasSubstr("3 value heads"));
  EXPECT_THAT(message([](auto& x) { x[3] = x[3].unsqueeze(3); }), HasSubstr("g and beta must be"));
  EXPECT_THAT(message([](auto& x) { x[5] = x[5].narrow(2, 0, 1); }),
              HasSubstr("initial_state must"));
  EXPECT_THAT(message([](auto& x) { x[4] = x[4].to(at::kLong); }), HasSubstr("floating-point"));
  EXPECT_THAT(message([](auto&) {}, 24), HasSubstr("chunk_size must be a power of two"));
  EXPECT_THAT(message([](auto& x) {
                for (auto& t : x) t = t.narrow(0, 0, 0);
              }),
              HasSubstr("at least one step"));
}

}  // namespace
}  // namespace gamut::ops
