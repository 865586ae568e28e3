// The forward kernels of the chunked gated delta rule, and of SSD by them, emulated: against the
// recurrence in float64, with plans that cut sequences into runs, in any order of threads.
#include "ops/gated_delta_rule/cuda/delta_rule.h"

#include "ops/gated_delta_rule/delta_rule.h"
#include "ops/ssd/ssd.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using cuda::DeltaRuleForward;
using cuda::DeltaRulePlan;
using cuda::DeltaRuleRows;
using cuda::DeltaRuleShape;

struct Sizes {
  int64_t batch, time, heads, value_heads, d_k, d_v;
};

struct Problem {
  Tensor q, k, v, g, beta, initial, offsets, skip;  // the last three may be undefined
  double scale = 0.3;
  bool solve = true;

  int64_t sequences() const { return offsets.defined() ? offsets.numel() - 1 : v.size(0); }
};

Tensor unit(const Tensor& x) {
  return x / x.norm(2, -1, true);
}

Problem random_problem(const Sizes& s, at::ScalarType type, double gate = 0.5) {
  Problem p;
  p.q = unit(at::randn({s.batch, s.time, s.heads, s.d_k})).to(type);
  p.k = unit(at::randn({s.batch, s.time, s.heads, s.d_k})).to(type);
  p.v = at::randn({s.batch, s.time, s.value_heads, s.d_v}).to(type);
  p.g = -gate * at::rand({s.batch, s.time, s.value_heads});
  p.beta = 2 * at::rand({s.batch, s.time, s.value_heads});
  p.initial = at::randn({s.batch, s.value_heads, s.d_k, s.d_v});
  return p;
}

cuda::Element element_of(const Tensor& x) {
  if (x.scalar_type() == at::kFloat) return cuda::Element::float32;
  return x.scalar_type() == at::kHalf ? cuda::Element::float16 : cuda::Element::bfloat16;
}

DeltaRuleRows rows(const Tensor& x) {
  return {x.const_data_ptr(), x.stride(1), x.stride(2)};
}

const float* data(const Tensor& x) {
  return x.defined() ? x.const_data_ptr<float>() : nullptr;
}

DeltaRuleShape shape_of(const Problem& p) {
  DeltaRuleShape s{};
  s.element = element_of(p.v);
  s.sequences = p.sequences();
  s.steps = p.v.size(0) * p.v.size(1);
  s.offsets = p.offsets.defined() ? p.offsets.const_data_ptr<int64_t>() : nullptr;
  s.longest = p.offsets.defined() ? p.offsets.diff().max().item<int64_t>() : p.v.size(1);
  s.heads = p.q.size(2);
  s.value_heads = p.v.size(2);
  s.d_k = p.k.size(3);
  s.d_v = p.v.size(3);
  s.scale = p.scale;
  s.solve = p.solve;
  s.value_first = !p.solve;
  return s;
}

struct Result {
  Tensor output, final_state, states, errors;
};

// By the emulated kernels; outputs begin as NaN.
Result run(const Problem& p, const DeltaRulePlan& plan) {
  const auto shape = shape_of(p);
  const auto& table = *cuda::emulation::emulated_kernels();
  const int64_t c = delta_rule_chunk(shape), places = delta_rule_slots(shape) * shape.value_heads;
  const int64_t keys = cuda::delta_rule_padded(shape.d_k),
                values = cuda::delta_rule_padded(shape.d_v);
  const auto nan = [](at::IntArrayRef sizes, at::ScalarType type) {
    return at::full(sizes, std::numeric_limits<float>::quiet_NaN(), type);
  };
  const auto type = p.v.scalar_type();
  const auto gates = nan({places, c, 4}, at::kFloat), inverse = nan({places, c, c}, type);
  const auto runs = nan({plan.run_elements(shape)}, at::kFloat);
  const auto state =
      shape.value_first
          ? std::vector<int64_t>{p.sequences(), shape.value_heads, shape.d_v, shape.d_k}
          : std::vector<int64_t>{p.sequences(), shape.value_heads, shape.d_k, shape.d_v};
  Result r{nan(p.v.sizes(), type), nan(state, at::kFloat), nan({places, values, keys}, type),
           nan({places, values, c}, type)};
  DeltaRuleForward args{};
  args.shape = shape;
  args.plan = plan;
  args.q = rows(p.q), args.k = rows(p.k), args.v = rows(p.v);
  args.g = data(p.g), args.beta = data(p.beta), args.skip = data(p.skip);
  args.initial_state = data(p.initial);
  args.gates = static_cast<cuda::DeltaRuleGate*>(gates.mutable_data_ptr());
  args.inverse = inverse.mutable_data_ptr();
  args.runs = runs.mutable_data_ptr<float>();
  args.output = r.output.mutable_data_ptr();
  args.final_state = r.final_state.mutable_data_ptr<float>();
  args.states = r.states.mutable_data_ptr();
  args.errors = r.errors.mutable_data_ptr();
  for (const auto& status :
       {table.delta_rule_prepare(args, nullptr), table.delta_rule_scan(args, nullptr)}) {
    EXPECT_TRUE(status.ok()) << status.kernel << ": " << status.message;
  }
  return r;
}

DeltaRulePlan whole(const Problem& p) {
  return cuda::emulation::emulated_kernels()->delta_rule_plan(shape_of(p), 1);
}

// Root of the sum of squares of the error over that of what was expected.
double error(const Tensor& got, const Tensor& expected) {
  const auto a = got.to(at::kDouble), b = expected.to(at::kDouble);
  const double e = ((a - b).norm() / b.norm().clamp_min(1e-30)).item<double>();
  return std::isnan(e) ? std::numeric_limits<double>::infinity() : e;
}

struct Expected {
  Tensor output, final_state;
};

Expected reference(const Problem& p) {
  const auto wide = [](const Tensor& x) { return x.defined() ? x.to(at::kDouble) : x; };
  const auto r = delta_rule_reference({wide(p.q), wide(p.k), wide(p.v), wide(p.g), wide(p.beta),
                                       wide(p.initial), p.offsets, p.scale});
  return {r.output, r.final_state};
}

double bound(const Problem& p) {
  return p.v.scalar_type() == at::kFloat ? 1e-5 : 5e-3;
}

void expect_like_reference(const Problem& p, const DeltaRulePlan& plan, double wider = 1) {
  const auto got = run(p, plan);
  const auto expected = reference(p);
  EXPECT_LE(error(got.output, expected.output), wider * bound(p));
  EXPECT_LE(error(got.final_state, expected.final_state), wider * bound(p));
}

constexpr auto kTypes = {at::kFloat, at::kBFloat16, at::kHalf};

// One more or one less than a chunk, or a few steps, so that the emulator has little to do.
TEST(DeltaRuleKernels, EqualTheRecurrenceForEveryHeadSize) {
  at::manual_seed(1);
  const std::vector<Sizes> few = {
      {1, 70, 1, 2, 42, 84}, {1, 20, 1, 1, 128, 33}, {1, 35, 1, 1, 256, 7}};
  const std::vector<Sizes> all = {{1, 40, 2, 2, 48, 96},   {1, 20, 1, 1, 84, 42},
                                  {1, 65, 1, 1, 64, 64},   {1, 17, 1, 1, 100, 100},
                                  {1, 20, 1, 1, 128, 128}, {1, 10, 1, 1, 256, 256},
                                  {3, 5, 1, 3, 7, 5}};
  for (const auto type : kTypes) {
    auto sizes = few;
    if (type == at::kBFloat16) sizes.insert(sizes.end(), all.begin(), all.end());
    if (type == at::kFloat) sizes.push_back({1, 1, 1, 1, 1, 1});
    for (const auto& s : sizes) {
      SCOPED_TRACE(testing::Message() << type << ", heads of " << s.d_k << " x " << s.d_v);
      const auto p = random_problem(s, type);
      expect_like_reference(p, whole(p));
    }
  }
}

TEST(DeltaRuleKernels, EqualTheFixtures) {
  for (const auto* name : {"gdr_plain", "gdr_one_step", "gdr_strong_decay", "gdr_beta_near_1",
                           "gdr_neg_eigval", "gdr_grouped_values"}) {
    SCOPED_TRACE(name);
    const test::Fixture f(name, at::kFloat);
    Problem p{f["q"].contiguous(),
              f["k"].contiguous(),
              f["v"].contiguous(),
              f["g"].contiguous(),
              f["beta"].contiguous(),
              f.get("h0"),
              {},
              {}};
    p.scale = 1 / std::sqrt(static_cast<double>(p.q.size(3)));
    const auto got = run(p, whole(p));
    EXPECT_LE(error(got.output, f["o"]), 1e-5);
    EXPECT_LE(error(got.final_state, f["ht"]), 1e-5);
  }
}

// Documents of no step, one, a chunk, and more than one, in plans that cut them and not.
TEST(DeltaRuleKernels, KeepDocumentsApart) {
  at::manual_seed(2);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    auto p = random_problem({1, 230, 1, 2, 18, 20}, type);
    p.offsets = at::tensor({0, 0, 5, 6, 6, 70, 134, 230}, at::kLong);
    p.initial = at::randn({7, 2, 18, 20});
    auto expected = p;
    const auto filled = at::tensor({1, 2, 4, 5, 6}, at::kLong);
    expected.offsets = at::tensor({0, 5, 6, 70, 134, 230}, at::kLong);
    expected.initial = p.initial.index_select(0, filled);
    const auto want = reference(expected);
    for (const auto& plan : {whole(p), DeltaRulePlan{1, 1}, DeltaRulePlan{2, 2}}) {
      SCOPED_TRACE(testing::Message() << type << ", runs of " << plan.run);
      const auto got = run(p, plan);
      EXPECT_LE(error(got.output, want.output), bound(p));
      EXPECT_LE(error(got.final_state.index_select(0, filled), want.final_state), bound(p));
      for (const int64_t empty : {0, 3}) {
        EXPECT_TRUE(at::equal(got.final_state[empty], p.initial[empty])) << "document " << empty;
      }
    }
  }
}

TEST(DeltaRuleKernels, RunsOfASequenceEqualTheWhole) {
  at::manual_seed(3);
  for (const auto type : kTypes) {
    for (const double gate : {0.0, 0.5}) {
      const int64_t chunks = type == at::kFloat ? 7 : 5;
      const int64_t time =
          chunks * delta_rule_chunk(shape_of(random_problem({1, 1, 1, 1, 20, 1}, type))) - 3;
      const auto p = random_problem({2, time, 1, 1, 20, 24}, type, gate);
      for (const int64_t run : {1, 3}) {
        SCOPED_TRACE(testing::Message() << type << ", gates to -" << gate << ", runs of " << run);
        // Without decay nothing of what bfloat16 takes from the state is forgotten.
        expect_like_reference(p, {1, run}, gate == 0 ? 2 : 1);
      }
    }
  }
}

TEST(DeltaRuleKernels, ForgetAsTheGatesSay) {
  at::manual_seed(4);
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double gate : {0.0, -20.0, -60.0, -infinity}) {
    SCOPED_TRACE(gate);
    auto p = random_problem({1, 40, 1, 1, 16, 16}, at::kFloat, 0.01);
    p.g = at::full_like(p.g, gate) + p.g;
    expect_like_reference(p, whole(p));
  }
  // Resets among gates that hardly decay: their differences must not drown in the running sum.
  auto p = random_problem({1, 75, 1, 1, 16, 16}, at::kFloat, 0.01);
  p.g.select(1, 3).fill_(-5000);
  p.g.select(1, 20).fill_(-infinity);
  p.g.select(1, 40).fill_(-60);
  expect_like_reference(p, whole(p));
  expect_like_reference(p, {1, 1});
  p.g = 0.2 * at::rand_like(p.g);  // growth
  expect_like_reference(p, whole(p));
}

// Here the recurrence without gates would leave float32's range within a chunk.
TEST(DeltaRuleKernels, LongKeysAreHarmlessUnderStrongGates) {
  at::manual_seed(5);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    auto p = random_problem({1, 70, 1, 1, 16, 16}, type);
    p.k = 8 * p.k;
    p.g = p.g - 6;
    expect_like_reference(p, whole(p));
  }
}

TEST(DeltaRuleKernels, OppositeKeysOfDoubledStrength) {
  at::manual_seed(6);
  auto p = random_problem({1, 70, 1, 1, 16, 16}, at::kFloat, 1e-3);
  p.k = p.k.narrow(1, 0, 1).expand_as(p.k).contiguous();
  p.beta.fill_(2);
  // Every step reflects the state along one key, and what float32 lacks of its length adds up.
  expect_like_reference(p, whole(p), 3);
}

// As one projection makes them: rows apart, heads at addresses that are no multiple of 16.
TEST(DeltaRuleKernels, ReadStridedRows) {
  at::manual_seed(7);
  for (const int64_t d : {16, 21}) {
    auto p = random_problem({1, 50, 2, 2, d, d}, at::kBFloat16);
    const auto together = at::cat({p.q, p.k, p.v}, 2);
    p.q = together.narrow(2, 0, 2), p.k = together.narrow(2, 2, 2), p.v = together.narrow(2, 4, 2);
    expect_like_reference(p, whole(p));
  }
}

// The states that enter chunks are those that leave the steps before; V' is what each step adds.
TEST(DeltaRuleKernels, HandOutStatesAndErrors) {
  at::manual_seed(8);
  const auto p = random_problem({1, 80, 1, 1, 20, 24}, at::kFloat);
  for (const auto& plan : {whole(p), DeltaRulePlan{1, 1}}) {
    const auto got = run(p, plan);
    Tensor state = p.initial;
    for (int64_t chunk = 0; chunk < 3; ++chunk) {
      const auto saved = got.states[chunk].t(), errors = got.errors[chunk].t();
      EXPECT_LE(error(saved.slice(0, 0, 20).slice(1, 0, 24), state[0][0]), 1e-5) << chunk;
      EXPECT_FALSE(
          at::cat({saved.slice(0, 20).flatten(), saved.slice(1, 24).flatten()}).any().item<bool>());
      const int64_t from = chunk * 32, steps = std::min<int64_t>(32, 80 - from);
      const auto g = p.g[0].narrow(0, from, steps).select(1, 0);
      const auto left = (g.sum() - g.cumsum(0)).exp().unsqueeze(1);
      const auto k = p.k[0].narrow(0, from, steps).select(1, 0);
      const auto added = at::matmul((left * k).t(), errors.narrow(0, 0, steps));
      state = state * g.sum().exp();
      state[0][0] += added.slice(1, 0, 24);
    }
    EXPECT_LE(error(got.final_state, state), 1e-5);
  }
}

TEST(DeltaRuleKernels, DoNotDependOnTheOrderOfThreads) {
  at::manual_seed(9);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const auto p = random_problem({1, 135, 1, 1, 21, 36}, type);
    for (const auto& plan : {DeltaRulePlan{3, 0}, DeltaRulePlan{2, 1}}) {
      const auto work = [&] {
        const auto r = run(p, plan);
        return test::bytes_of({{r.output, r.final_state}, {}});
      };
      EXPECT_EQ(cuda::emulation::order_dependence(work, 2), "");
    }
  }
}

// q = C, k = B, beta = dt, g = dt A; states are [P, N].
TEST(DeltaRuleKernels, WithoutTheSolveAreSsd) {
  at::manual_seed(10);
  for (const auto type : kTypes) {
    auto p = random_problem({2, 150, 2, 4, 32, 24}, type);
    p.solve = false;
    p.scale = 1;
    p.skip = at::randn({4});
    p.initial = at::randn({2, 4, 24, 32});
    const auto a = -at::rand({4});
    p.g = p.beta * a;
    const auto wide = [](const Tensor& x) { return x.to(at::kDouble); };
    const auto [y, h] = ssd_reference(wide(p.v), wide(p.beta), wide(a), wide(p.k), wide(p.q),
                                      wide(p.skip), {}, false, wide(p.initial), {}, 0);
    for (const auto& plan : {whole(p), DeltaRulePlan{2, 1}}) {
      SCOPED_TRACE(testing::Message() << type << ", runs of " << plan.run);
      const auto got = run(p, plan);
      EXPECT_LE(error(got.output, y), bound(p));
      EXPECT_LE(error(got.final_state, h), bound(p));
    }
  }
}

TEST(DeltaRulePlans, CutSequencesWhereHeadsAreFew) {
  const auto plan = [](int64_t sequences, int64_t steps, int64_t heads, int64_t d) {
    DeltaRuleShape s{};
    s.element = cuda::Element::bfloat16;
    s.sequences = sequences, s.steps = sequences * steps, s.longest = steps;
    s.heads = s.value_heads = heads, s.d_k = s.d_v = d;
    s.solve = true;
    return cuda::emulation::emulated_kernels()->delta_rule_plan(s, 132);
  };
  EXPECT_GT(plan(1, 65536, 8, 128).run, 0);   // 8 heads on 132 multiprocessors
  EXPECT_EQ(plan(64, 2048, 16, 128).run, 0);  // enough for all
  EXPECT_EQ(plan(1, 512, 8, 128).run, 0);     // too short to be cut
  EXPECT_LE(plan(1, 2048, 1, 42).warps, 3);
}

}  // namespace
}  // namespace gamut::ops
