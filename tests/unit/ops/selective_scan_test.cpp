// The selective scan against fixtures, its definition and finite differences; threads, memory,
// types and hard cases.
#include "ops/selective_scan/selective_scan.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "ops/selective_scan/chunks.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using test::Evaluated;
using test::Fixture;

struct Sizes {
  int64_t batch, time, channels, states;
};

// Which of the optional inputs there are, and how delta is meant.
struct Parts {
  bool skip = true, gate = true, bias = true, state = true, softplus = true;
};

constexpr Parts kBare{false, false, false, false, false};

// u, delta, A, B, C and those that there are of D, z, delta_bias, initial state.
std::vector<Tensor> random_inputs(const Sizes& s, const Parts& parts, int64_t documents) {
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const auto like_u = [&] { return at::randn({s.batch, s.time, s.channels}, options); };
  std::vector<Tensor> x{like_u(), parts.softplus ? like_u() : like_u().abs(),
                        -at::rand({s.channels, s.states}, options) * 4,
                        at::randn({s.batch, s.time, s.states}, options),
                        at::randn({s.batch, s.time, s.states}, options)};
  if (parts.skip) x.push_back(at::randn({s.channels}, options));
  if (parts.gate) x.push_back(like_u());
  if (parts.bias) x.push_back(at::rand({s.channels}, options) - 0.7);
  if (parts.state) x.push_back(at::randn({documents, s.channels, s.states}, options));
  return x;
}

using Scan = decltype(&selective_scan);

test::Function function_of(Scan scan, const Parts& parts, const Tensor& cu_seqlens = {}) {
  return [=](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    size_t next = 5;
    const auto take = [&](bool there) {
      return there ? std::optional<Tensor>(x[next++]) : std::nullopt;
    };
    const auto skip = take(parts.skip), gate = take(parts.gate), bias = take(parts.bias),
               state = take(parts.state);
    const auto documents = cu_seqlens.defined() ? std::optional<Tensor>(cu_seqlens) : std::nullopt;
    const auto [y, last] =
        scan(x[0], x[1], x[2], x[3], x[4], skip, gate, bias, parts.softplus, state, documents);
    return {y, last};
  };
}

std::vector<Tensor> converted(std::vector<Tensor> x, at::ScalarType type) {
  for (auto& t : x) t = t.to(type);
  return x;
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

std::vector<Tensor> cotangents_for(const std::vector<Tensor>& outputs) {
  return {at::randn_like(outputs[0]), at::randn_like(outputs[1])};
}

// The float32 and the float64 kernel against the float64 definition.
void compare_with_reference(const Sizes& s, const Parts& parts, const Tensor& cu_seqlens = {}) {
  SCOPED_TRACE(c10::str("[", s.batch, ", ", s.time, ", ", s.channels, "], ", s.states, " states"));
  const int64_t documents = Documents(cu_seqlens, s.batch, s.time).size();
  // Exact in float32, so that both see the same numbers.
  const auto single = converted(random_inputs(s, parts, documents), at::kFloat);
  const auto inputs = converted(single, at::kDouble);
  const auto reference = function_of(selective_scan_reference, parts, cu_seqlens);
  const auto kernel = function_of(selective_scan, parts, cu_seqlens);
  const auto cotangents = cotangents_for(reference(inputs));
  const auto expected = test::evaluate(reference, inputs, cotangents);
  expect_equal(test::evaluate(kernel, inputs, cotangents), expected, 1e-13, 1e-12);
  expect_equal(test::evaluate(kernel, single, cotangents), expected, 1e-5, 2e-5);
  const c10::NoGradGuard no_grad;
  const auto plain = kernel(single);  // without gradients it is another path
  EXPECT_CLOSE(plain[0], expected.outputs[0], 1e-5);
  EXPECT_CLOSE(plain[1], expected.outputs[1], 1e-5);
}

// The fixtures are channels first.
Evaluated run_fixture(const Fixture& f, const Parts& parts) {
  const auto last = [&](const char* name) { return f[name].transpose(1, 2); };
  std::vector<Tensor> x{last("u"), last("dt"), f["A"], last("B"), last("C")};
  if (parts.skip) x.push_back(f["D"]);
  if (parts.gate) x.push_back(last("z"));
  if (parts.bias) x.push_back(f["dt_bias"]);
  if (parts.state) x.push_back(f["h0"]);
  return test::evaluate(function_of(selective_scan, parts), x, {last("dy"), f["dht"]});
}

Evaluated expected_of(const Fixture& f) {
  const auto last = [&](const char* name) { return f[name].transpose(1, 2); };
  Evaluated e{{last("y"), f["ht"]}, {last("du"), last("ddt"), f["dA"], last("dB"), last("dC")}};
  for (const char* name : {"dD", "dz", "ddt_bias", "dh0"}) {
    if (f.has(name))
      e.gradients.push_back(f[name].dim() == 3 && name[1] == 'z' ? last(name) : f[name]);
  }
  return e;
}

TEST(SelectiveScan, Fixtures) {
  for (const std::string name : {"full", "one_step", "strong_decay"}) {
    SCOPED_TRACE(name);
    for (const auto type : {at::kFloat, at::kDouble}) {
      const Fixture f("mamba1_" + name, type);
      const bool bare = name == "strong_decay";
      const Parts parts{!bare, !bare, !bare, f.has("h0"), !bare};
      const bool single = type == at::kFloat;
      expect_equal(run_fixture(f, parts), expected_of(f), single ? 1e-5 : 2e-7,
                   single ? 2e-5 : 2e-7);
    }
  }
}

TEST(SelectiveScan, OddSizes) {
  at::manual_seed(1);
  for (const Sizes& s : std::vector<Sizes>{{1, 1, 1, 1},
                                           {2, 1, 19, 6},
                                           {1, 2, 5, 3},
                                           {2, 31, 16, 4},
                                           {1, 32, 8, 16},
                                           {3, 33, 40, 17},
                                           {2, 65, 131, 5},
                                           {1, 100, 300, 8},
                                           {2, 40, 33, 64},
                                           {1, 35, 17, 256}}) {
    compare_with_reference(s, {});
    compare_with_reference(s, kBare);
  }
}

TEST(SelectiveScan, EachOptionalInputAlone) {
  at::manual_seed(2);
  const Sizes s{2, 37, 21, 9};
  for (bool Parts::* one :
       {&Parts::skip, &Parts::gate, &Parts::bias, &Parts::state, &Parts::softplus}) {
    Parts parts = kBare;
    parts.*one = true;
    compare_with_reference(s, parts);
  }
}

TEST(SelectiveScan, PackedDocuments) {
  at::manual_seed(3);
  compare_with_reference({1, 70, 35, 6}, {}, test::offsets({0, 1, 2, 2, 40, 70}));
  compare_with_reference({2, 50, 18, 16}, {}, test::offsets({0, 33, 50, 51, 51, 99, 100}));
  compare_with_reference({3, 1, 18, 5}, {}, test::offsets({0, 1, 1, 2, 3}));
  compare_with_reference({2, 3, 7, 3}, kBare, test::offsets({0, 1, 2, 3, 4, 5, 6}));
}

TEST(SelectiveScan, GradientsAreThoseOfFiniteDifferences) {
  at::manual_seed(4);
  const auto packed = test::offsets({0, 3, 37, 37, 38, 50});
  test::expect_gradients(function_of(selective_scan, {}, packed),
                         random_inputs({1, 50, 9, 5}, {}, 4), 1e-6);
}

TEST(SelectiveScan, GradientOfFinalStateAlone) {
  at::manual_seed(5);
  const Parts parts;
  const auto inputs = random_inputs({1, 40, 6, 3}, parts, 1);
  const auto last = [&](Scan scan) -> test::Function {
    const auto f = function_of(scan, parts);
    return [f](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {f(x)[1]}; };
  };
  const std::vector<Tensor> cotangent{at::randn({1, 6, 3}, at::kDouble)};
  expect_equal(test::evaluate(last(selective_scan), inputs, cotangent),
               test::evaluate(last(selective_scan_reference), inputs, cotangent), 1e-13, 1e-12);
}

TEST(SelectiveScan, SecondDerivatives) {
  at::manual_seed(6);
  const auto inputs = random_inputs({1, 7, 4, 3}, {}, 1);
  const auto gradient = [&](Scan scan) -> test::Function {
    const auto f = function_of(scan, {});
    return [f](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      const auto y = f(x);
      return torch::autograd::grad({y[0].square().sum() + y[1].sum()}, {x[0], x[1], x[3]}, {}, true,
                                   true);
    };
  };
  std::vector<Tensor> cotangents;
  for (const int i : {0, 1, 3}) cotangents.push_back(at::randn_like(inputs[i]));
  expect_equal(test::evaluate(gradient(selective_scan), inputs, cotangents),
               test::evaluate(gradient(selective_scan_reference), inputs, cotangents), 1e-12,
               1e-11);
}

// As in a layer, where delta, B and C are made from u: each path counts once.
TEST(SelectiveScan, SecondDerivativesOfInputsMadeFromOthers) {
  at::manual_seed(61);
  const auto inputs = random_inputs({1, 5, 3, 3}, kBare, 1);
  const auto gradient = [&](Scan scan) -> test::Function {
    const auto f = function_of(scan, {false, false, false, false, true});
    return [f](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      const auto y = f({x[0], x[0] * 0.5, x[1], x[0].sin(), x[0].cos()});
      return torch::autograd::grad({y[0].square().sum()}, {x[0]}, {}, true, true);
    };
  };
  const std::vector<Tensor> from = {inputs[0], inputs[2]}, cotangents = {at::randn_like(inputs[0])};
  expect_equal(test::evaluate(gradient(selective_scan), from, cotangents),
               test::evaluate(gradient(selective_scan_reference), from, cotangents), 1e-12, 1e-11);
}

TEST(SelectiveScan, BFloat16InAndOut) {
  at::manual_seed(7);
  auto x = converted(random_inputs({2, 90, 37, 16}, {}, 2), at::kFloat);
  for (const size_t i : {0, 1, 3, 4, 6}) x[i] = x[i].to(at::kBFloat16);
  const auto f = function_of(selective_scan, {});
  const auto reference = function_of(selective_scan_reference, {});
  const auto exact = converted(x, at::kDouble);
  const auto cotangents = cotangents_for(reference(exact));
  const auto got = test::evaluate(f, x, cotangents);
  EXPECT_EQ(got.outputs[0].scalar_type(), at::kBFloat16);
  EXPECT_EQ(got.outputs[1].scalar_type(), at::kFloat);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(got.gradients[i].scalar_type(), x[i].scalar_type());
  }
  // One rounding on the way out; the state is not rounded.
  const auto expected = test::evaluate(reference, exact, cotangents);
  EXPECT_CLOSE(got.outputs[0], expected.outputs[0], 4e-3);
  EXPECT_CLOSE(got.outputs[1], expected.outputs[1], 1e-5);
  expect_equal({{}, got.gradients}, {{}, expected.gradients}, 0, 1e-2);
}

TEST(SelectiveScan, MixedTypesAreNotNarrowed) {
  at::manual_seed(8);
  auto x = converted(random_inputs({1, 50, 12, 4}, kBare, 1), at::kFloat);
  x[0] = x[0].to(at::kBFloat16);
  const auto y = function_of(selective_scan, kBare)(x);
  const auto expected = function_of(selective_scan_reference, kBare)(converted(x, at::kDouble));
  EXPECT_EQ(y[0].scalar_type(), at::kBFloat16);
  EXPECT_CLOSE(y[1], expected[1], 1e-5);
}

TEST(SelectiveScan, SlicesAreReadWhereTheyLie) {
  at::manual_seed(9);
  const auto both = at::randn({2, 40, 50}), rates = -at::rand({25, 4}), bc = at::randn({2, 40, 8});
  const auto B = bc.narrow(2, 0, 4), C = bc.narrow(2, 4, 4);
  const auto scan = [&](const Tensor& u, const Tensor& z) {
    return std::get<0>(selective_scan(u, z, rates, B, C, {}, z, {}, true, {}, {}));
  };
  const auto u = both.narrow(2, 0, 25), z = both.narrow(2, 25, 25);
  EXPECT_TRUE(at::equal(scan(u, z), scan(u.contiguous(), z.contiguous())));
}

TEST(SelectiveScan, ThreadsChangeNothing) {
  at::manual_seed(10);
  const auto x = converted(random_inputs({3, 70, 400, 6}, {}, 3), at::kFloat);
  const auto f = function_of(selective_scan, {});
  const auto cotangents = cotangents_for(f(x));
  test::expect_same_on_threads(f, x, cotangents, std::max(2, at::get_num_threads()));
}

TEST(SelectiveScan, KeepsAStateForEveryChunkThatBeginsNoDocument) {
  const auto packed = test::offsets({0, 1, 2, 3, 3 + 2 * kScanSteps, 300});
  const ScanChunks chunks(Documents(packed, 1, 300));
  const int64_t tail = 300 - 3 - 2 * kScanSteps;
  EXPECT_EQ(chunks.size(), 3 + 2 + (tail + kScanSteps - 1) / kScanSteps);
  EXPECT_EQ(chunks.checkpoints, 1 + (tail - 1) / kScanSteps);
  for (const auto& c : chunks.chunks) EXPECT_EQ(c.is_first, c.checkpoint < 0);
}

// delta up to 20, A down to -256: decays of exp(-5120), and next to them of nearly 1.
TEST(SelectiveScan, StrongDecay) {
  at::manual_seed(11);
  auto x = random_inputs({1, 90, 20, 16}, kBare, 1);
  x[1] = (at::randn_like(x[1]) * 3 - 2).exp().clamp_max(20);
  x[2] = -at::arange(1, 17, at::kDouble).square().expand({20, 16}).contiguous();
  x = converted(converted(x, at::kFloat), at::kDouble);
  const auto f = function_of(selective_scan, kBare);
  const auto reference = function_of(selective_scan_reference, kBare);
  const auto cotangents = cotangents_for(reference(x));
  const auto got = test::evaluate(f, converted(x, at::kFloat), cotangents);
  expect_equal(got, test::evaluate(reference, x, cotangents), 1e-5, 2e-5);
}

TEST(SelectiveScan, SixtyFiveThousandSteps) {
  at::manual_seed(12);
  const int64_t time = 65536;
  auto x = converted(random_inputs({1, time, 3, 2}, kBare, 1), at::kFloat);
  x[1] = x[1] * 0.01;
  const auto f = function_of(selective_scan, kBare);
  const std::vector<Tensor> cotangents{at::randn({1, time, 3}), at::randn({1, 3, 2})};
  const auto got = test::evaluate(f, x, cotangents);
  expect_equal(got, test::evaluate(f, converted(x, at::kDouble), cotangents), 1e-5, 2e-5);
}

TEST(SelectiveScan, AStepContinuesAScan) {
  at::manual_seed(13);
  const c10::NoGradGuard no_grad;
  const Parts parts;
  const auto x = converted(random_inputs({2, 40, 35, 13}, parts, 2), at::kFloat);
  const auto f = function_of(selective_scan, parts);
  const auto whole = f(x);
  auto state = x.back();
  for (int64_t t = 0; t < 40; ++t) {
    auto one = x;
    for (const size_t i : {0, 1, 3, 4, 6}) one[i] = x[i].narrow(1, t, 1);
    one.back() = state;
    const auto step = f(one);
    EXPECT_CLOSE(step[0], whole[0].narrow(1, t, 1), 1e-5);
    state = step[1];
  }
  EXPECT_CLOSE(state, whole[1], 1e-5);
}

template <class Call>
void expect_error(const Call& call, const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

TEST(SelectiveScan, ErrorsSayWhatWouldBeRight) {
  const auto u = at::randn({2, 5, 6}), A = -at::rand({6, 4}), B = at::randn({2, 5, 4});
  const auto call = [&](const Tensor& in, const Tensor& rates, const Tensor& b,
                        const std::optional<Tensor>& D, const std::optional<Tensor>& state) {
    return [=] { selective_scan(in, in, rates, b, B, D, {}, {}, true, state, {}); };
  };
  expect_error(call(u[0], A, B, {}, {}), "u must be [batch, time, channels]");
  expect_error(call(u, A.t(), B, {}, {}), "with 6 channels as in u");
  expect_error(call(u, A, B.narrow(2, 0, 3), {}, {}),
               "B must be [batch, time, states] = [2, 5, 4]");
  expect_error(call(u, A, B, at::ones({5}), {}), "D must be [channels] = [6]; it is [5]");
  expect_error(call(u, A, B, {}, at::zeros({1, 6, 4})),
               "initial_state must be [documents, channels, states] = [2, 6, 4]");
  expect_error(call(u.to(at::kLong), A, B, {}, {}), "floating-point");
}

}  // namespace
}  // namespace gamut::ops
