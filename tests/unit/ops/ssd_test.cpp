// The chunked state-space operator against fixtures, its step-by-step reference and finite
// differences.
#include "ops/ssd/ssd.h"

#include <c10/core/GradMode.h>
#include <gamut/documents.h>
#include <torch/csrc/autograd/autograd.h>

#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using test::offsets;
using ::testing::HasSubstr;

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

struct Sizes {
  int64_t batch, time, heads, head_dim, groups, d_state;
};

// x, dt, A, B, C, D, dt_bias, initial state.
std::vector<Tensor> random_inputs(const Sizes& s, int64_t documents) {
  return {at::randn({s.batch, s.time, s.heads, s.head_dim}, kDoubles),
          at::randn({s.batch, s.time, s.heads}, kDoubles),
          -at::rand({s.heads}, kDoubles) * 2,
          at::randn({s.batch, s.time, s.groups, s.d_state}, kDoubles),
          at::randn({s.batch, s.time, s.groups, s.d_state}, kDoubles),
          at::randn({s.heads}, kDoubles),
          at::randn({s.heads}, kDoubles),
          at::randn({documents, s.heads, s.head_dim, s.d_state}, kDoubles)};
}

using Operator = decltype(&ssd);

test::Function with(Operator op, const Tensor& cu_seqlens = {}, int64_t chunk = 0) {
  return [=](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    const auto documents = cu_seqlens.defined() ? std::optional<Tensor>(cu_seqlens) : std::nullopt;
    const auto [y, state] =
        op(in[0], in[1], in[2], in[3], in[4], in[5], in[6], true, in[7], documents, chunk);
    return {y, state};
  };
}

void expect_equal(const test::Function& got, const test::Function& expected,
                  const std::vector<Tensor>& inputs, double tolerance) {
  std::vector<Tensor> cotangents;
  for (const auto& y : expected(inputs)) cotangents.push_back(at::randn_like(y));
  const auto a = test::evaluate(got, inputs, cotangents);
  const auto b = test::evaluate(expected, inputs, cotangents);
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    EXPECT_LE(test::relative_error(a.outputs[i], b.outputs[i]), tolerance) << "output " << i;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_LE(test::relative_error(a.gradients[i], b.gradients[i]), tolerance) << "input " << i;
  }
}

// ---- Fixtures ----

struct Tolerance {
  at::ScalarType type;
  double values, gradients;
};

void expect_fixture(const std::string& name, bool dt_softplus, const Tolerance& tolerance) {
  SCOPED_TRACE(testing::Message() << name << " " << tolerance.type);
  const test::Fixture f(name, tolerance.type);
  const std::vector<std::string> names = {"x", "dt", "A", "B", "C", "D", "dt_bias", "h0"};
  std::vector<Tensor> present;
  std::vector<size_t> place(names.size(), names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    if (!f.has(names[i])) continue;
    place[i] = present.size();
    present.push_back(f[names[i]]);
  }
  const test::Function run = [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    const auto get = [&](size_t i) {
      return place[i] < in.size() ? std::optional<Tensor>(in[place[i]]) : std::nullopt;
    };
    const auto [y, state] =
        ssd(in[0], in[1], in[2], in[3], in[4], get(5), get(6), dt_softplus, get(7), {}, 0);
    return {y, state};
  };
  const auto got = test::evaluate(run, present, {f["dy"], f["dht"]});
  EXPECT_CLOSE(got.outputs[0], f["y"], tolerance.values);
  EXPECT_CLOSE(got.outputs[1], f["ht"], tolerance.values);
  for (size_t i = 0; i < names.size(); ++i) {
    if (!f.has("d" + names[i])) continue;
    EXPECT_LE(test::relative_error(got.gradients[place[i]], f["d" + names[i]]), tolerance.gradients)
        << "d" << names[i];
  }
}

TEST(Ssd, EqualsFixtures) {
  for (const auto& tolerance :
       {Tolerance{at::kDouble, 2e-7, 2e-7}, Tolerance{at::kFloat, 1e-5, 2e-5}}) {
    expect_fixture("mamba2_full", true, tolerance);
    expect_fixture("mamba2_one_step", true, tolerance);
    expect_fixture("mamba2_strong_decay", false, tolerance);
  }
}

// ---- The reference ----

TEST(Ssd, EqualsTheRecurrence) {
  at::manual_seed(1);
  for (const auto& s : std::vector<Sizes>{{2, 1, 4, 8, 2, 16},
                                          {1, 37, 3, 5, 1, 7},
                                          {2, 64, 2, 16, 1, 16},
                                          {1, 65, 6, 33, 3, 20},
                                          {1, 130, 24, 4, 1, 3},
                                          {2, 70, 1, 1, 1, 1}}) {
    SCOPED_TRACE(testing::Message() << "time " << s.time << ", heads " << s.heads);
    const auto in = random_inputs(s, s.batch);
    expect_equal(with(ssd), with(ssd_reference), in, 1e-11);
    expect_equal(with(ssd_composed), with(ssd_reference), in, 1e-11);
  }
}

TEST(Ssd, EveryChunkSizeGivesTheSame) {
  at::manual_seed(2);
  const auto in = random_inputs({1, 150, 2, 12, 1, 9}, 1);
  for (const int64_t chunk : {1, 3, 16, 100, 128, 256}) {
    SCOPED_TRACE(testing::Message() << "chunk " << chunk);
    expect_equal(with(ssd, {}, chunk), with(ssd_reference), in, 1e-11);
  }
}

TEST(Ssd, KeepsDocumentsApart) {
  at::manual_seed(3);
  for (const auto& cu : {offsets({0, 1, 1, 2, 70, 75, 75, 139, 150}), offsets({0, 75, 150})}) {
    const auto in = random_inputs({2, 75, 4, 8, 2, 16}, Documents(cu, 2, 75).size());
    expect_equal(with(ssd, cu), with(ssd_reference, cu), in, 1e-11);
  }
}

TEST(Ssd, GradientsByFiniteDifferences) {
  at::manual_seed(4);
  test::expect_gradients(with(ssd, offsets({0, 1, 40, 40, 75}), 16),
                         random_inputs({1, 75, 4, 5, 2, 6}, 3));
}

TEST(Ssd, EachOptionMayBeAbsent) {
  at::manual_seed(5);
  const auto in = random_inputs({2, 70, 4, 8, 1, 16}, 2);
  const auto only = [](Operator op) -> test::Function {
    return [=](const std::vector<Tensor>& t) -> std::vector<Tensor> {
      const auto [y, state] = op(t[0], t[1].square(), t[2], t[3], t[4], {}, {}, false, {}, {}, 0);
      return {y};
    };
  };
  expect_equal(only(ssd), only(ssd_reference), {in[0], in[1], in[2], in[3], in[4]}, 1e-11);
  // The state alone reaches the loss.
  const auto state = [](Operator op) -> test::Function {
    return [=](const std::vector<Tensor>& t) -> std::vector<Tensor> { return {with(op)(t)[1]}; };
  };
  expect_equal(state(ssd), state(ssd_reference), in, 1e-11);
}

TEST(Ssd, Float32AndBFloat16) {
  at::manual_seed(6);
  const auto in = random_inputs({1, 100, 4, 64, 2, 32}, 1);
  const std::vector<Tensor> cotangents = {at::randn_like(in[0]), at::randn_like(in[7])};
  std::vector<Tensor> single, mixed, rounded;
  for (const auto& t : in) single.push_back(t.to(at::kFloat));
  mixed = single;
  for (const size_t i : {0, 3, 4}) mixed[i] = single[i].to(at::kBFloat16);
  mixed[1] = single[1].to(at::kBFloat16);
  for (const auto& t : mixed) rounded.push_back(t.to(at::kDouble));
  const auto exact = test::evaluate(with(ssd_reference), in, cotangents);
  const auto exact_rounded = test::evaluate(with(ssd_reference), rounded, cotangents);
  const auto narrow = test::evaluate(with(ssd), single, cotangents);
  const auto half = test::evaluate(with(ssd), mixed, cotangents);
  EXPECT_EQ(half.outputs[0].scalar_type(), at::kBFloat16);
  EXPECT_EQ(half.outputs[1].scalar_type(), at::kFloat);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_CLOSE(narrow.outputs[i], exact.outputs[i], 2e-6);
    EXPECT_CLOSE(half.outputs[i], exact_rounded.outputs[i], 4e-3);
  }
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_LE(test::relative_error(narrow.gradients[i], exact.gradients[i]), 1e-5) << i;
    EXPECT_LE(test::relative_error(half.gradients[i], exact_rounded.gradients[i]), 1e-2) << i;
    EXPECT_EQ(half.gradients[i].scalar_type(), mixed[i].scalar_type());
  }
}

// ---- Hard cases ----

// Decays of 64 a step, with hardly any at some steps.
TEST(Ssd, StrongDecay) {
  at::manual_seed(7);
  auto in = random_inputs({1, 300, 4, 8, 1, 8}, 1);
  in[1] = at::rand({1, 300, 4}, kDoubles) * 4 * (at::rand({1, 300, 4}, kDoubles) > 0.5) + 1e-4;
  in[2] = at::full({4}, -16.0, kDoubles);
  const auto plain = [](Operator op) -> test::Function {
    return [=](const std::vector<Tensor>& t) -> std::vector<Tensor> {
      const auto [y, state] = op(t[0], t[1], t[2], t[3], t[4], t[5], {}, false, t[7], {}, 0);
      return {y, state};
    };
  };
  const std::vector<Tensor> cotangents = {at::randn_like(in[0]), at::randn_like(in[7])};
  const auto exact = test::evaluate(plain(ssd_reference), in, cotangents);
  for (auto& t : in) t = t.to(at::kFloat);
  const auto got = test::evaluate(plain(ssd), in, cotangents);
  for (size_t i = 0; i < 2; ++i) EXPECT_CLOSE(got.outputs[i], exact.outputs[i], 1e-5);
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_LE(test::relative_error(got.gradients[i], exact.gradients[i]), 2e-5) << "input " << i;
  }
}

TEST(Ssd, LongSequence) {
  at::manual_seed(8);
  auto in = random_inputs({1, 65536, 2, 4, 1, 4}, 1);
  in[2] *= 1e-3;
  std::vector<Tensor> single;
  for (const auto& t : in) single.push_back(t.to(at::kFloat));
  const std::vector<Tensor> cotangents = {at::randn_like(in[0]), at::randn_like(in[7])};
  const auto got = test::evaluate(with(ssd), single, cotangents);
  const auto exact = test::evaluate(with(ssd, {}, 100), in, cotangents);
  EXPECT_CLOSE(got.outputs[0], exact.outputs[0], 1e-5);
  EXPECT_CLOSE(got.outputs[1], exact.outputs[1], 1e-5);
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_LE(test::relative_error(got.gradients[i], exact.gradients[i]), 2e-5) << "input " << i;
  }
}

TEST(Ssd, StepsContinueTheWhole) {
  at::manual_seed(9);
  const c10::NoGradGuard no_gradients;
  auto in = random_inputs({2, 40, 4, 7, 2, 21}, 2);
  const auto whole = with(ssd)(in);
  const auto all = in;
  std::vector<Tensor> pieces;
  for (const auto& [from, to] : {std::pair(0, 1), {1, 6}, {6, 30}, {30, 38}, {38, 39}, {39, 40}}) {
    for (const size_t i : {0, 1, 3, 4}) in[i] = all[i].slice(1, from, to);
    const auto part = with(ssd)(in);
    pieces.push_back(part[0]);
    in[7] = part[1];
  }
  EXPECT_CLOSE(at::cat(pieces, 1), whole[0], 1e-12);
  EXPECT_CLOSE(in[7], whole[1], 1e-12);
}

TEST(Ssd, TakesSlicesWhereTheyLie) {
  at::manual_seed(10);
  const auto wide = at::randn({2, 70, 100}, kDoubles);
  auto in = random_inputs({2, 70, 4, 8, 2, 16}, 2);
  in[0] = wide.narrow(2, 0, 32).unflatten(2, {4, 8});
  in[3] = wide.narrow(2, 32, 32).unflatten(2, {2, 16});
  in[4] = wide.narrow(2, 64, 32).unflatten(2, {2, 16});
  const auto y = with(ssd)(in)[0];
  for (const size_t i : {0, 3, 4}) in[i] = in[i].contiguous();
  EXPECT_TRUE(at::equal(y, with(ssd)(in)[0]));
}

TEST(Ssd, DoesNotDependOnTheNumberOfThreads) {
  at::manual_seed(11);
  auto in = random_inputs({2, 130, 12, 16, 1, 16}, 2);
  for (auto& t : in) t = t.to(at::kFloat);
  const std::vector<Tensor> cotangents = {at::randn_like(in[0]), at::randn_like(in[7])};
  test::expect_same_on_threads(with(ssd), in, cotangents);
}

TEST(Ssd, SecondDerivativesAreRefused) {
  auto in = random_inputs({1, 5, 2, 3, 1, 4}, 1);
  in[0].set_requires_grad(true);
  const auto loss = with(ssd)(in)[0].sum();
  try {
    torch::autograd::grad({loss}, {in[0]}, {}, true, /*create_graph=*/true);
    FAIL() << "nothing thrown";
  } catch (const std::exception& e) {
    EXPECT_THAT(e.what(), HasSubstr("ssd has no second derivative"));
  }
}

TEST(Ssd, SaysWhatDoesNotFit) {
  const auto good = random_inputs({2, 6, 4, 8, 2, 16}, 2);
  const auto run = [&](size_t i, const Tensor& t, int64_t chunk = 0) {
    auto in = good;
    if (t.defined()) in[i] = t;
    return test::error_of([&] { with(ssd, {}, chunk)(in); });
  };
  EXPECT_THAT(run(0, at::ones({2, 6, 32})), HasSubstr("x must be [batch, time, heads, head_dim]"));
  EXPECT_THAT(run(1, at::ones({2, 6, 3})),
              HasSubstr("dt must be [batch, time, heads] = [2, 6, 4]"));
  EXPECT_THAT(run(2, at::ones({3})), HasSubstr("A must be [4], one for each head; it is [3]"));
  EXPECT_THAT(run(3, at::ones({2, 5, 2, 16})), HasSubstr("B must be"));
  EXPECT_THAT(run(4, at::ones({2, 6, 2, 15})), HasSubstr("C must be [2, 6, 2, 16] as B"));
  EXPECT_THAT(run(5, at::ones({3})), HasSubstr("D must be [4]"));
  EXPECT_THAT(run(7, at::ones({1, 4, 8, 16})), HasSubstr("= [2, 4, 8, 16]; it is [1, 4, 8, 16]"));
  EXPECT_THAT(run(0, {}, 257), HasSubstr("chunk_size = 257 must be 1 to 256"));
  auto in = good;
  in[3] = in[4] = at::ones({2, 6, 3, 16});
  EXPECT_THAT(test::error_of([&] { with(ssd)(in); }),
              HasSubstr("3, must divide the heads of x, 4"));
}

}  // namespace
}  // namespace gamut::ops
