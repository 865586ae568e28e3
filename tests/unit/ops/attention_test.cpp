// The attention operator against its definition and finite differences.
#include "ops/attention/attention.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using ::testing::HasSubstr;

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

struct Case {
  int64_t rows, queries, keys, heads, kv_heads, head_dim;
  bool causal = true;
  int64_t window = 0;
  std::vector<int64_t> spans{};  // six a span; empty: none

  std::optional<Tensor> span_tensor() const {
    if (spans.empty()) return std::nullopt;
    return at::tensor(spans, at::kLong).view({-1, 6});
  }
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.rows << " rows, " << c.queries << " queries, " << c.keys << " keys, heads "
             << c.heads << ":" << c.kv_heads << " of " << c.head_dim << (c.causal ? ", causal" : "")
             << ", window " << c.window << ", " << c.spans.size() / 6 << " spans";
}

std::vector<Tensor> random_inputs(const Case& c) {
  return {at::randn({c.rows, c.queries, c.heads, c.head_dim}, kDoubles),
          at::randn({c.rows, c.keys, c.kv_heads, c.head_dim}, kDoubles),
          at::randn({c.rows, c.keys, c.kv_heads, c.head_dim}, kDoubles)};
}

using Operator = decltype(&attention);

test::Function with(Operator op, const Case& c, std::optional<double> scale = 0.4) {
  return [=](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    return {op(in[0], in[1], in[2], scale, c.causal, c.window, c.span_tensor())};
  };
}

std::vector<Case> cases() {
  return {
      {1, 1, 1, 1, 1, 1},
      {2, 3, 3, 2, 1, 5},
      {1, 64, 64, 2, 2, 64},
      {2, 97, 97, 4, 2, 56},
      {1, 131, 131, 3, 1, 33},
      {1, 300, 300, 6, 2, 16},
      {2, 50, 50, 2, 2, 128},
      {1, 40, 40, 2, 1, 200},
      {1, 7, 40, 4, 2, 24},
      {2, 1, 260, 4, 1, 56},  // decoding: few queries
      {1, 1, 300, 7, 1, 20},
      {1, 1, 300, 12, 1, 16},
      {1, 8, 300, 2, 2, 128},
      {1, 5, 150, 6, 3, 33, true, 20},
      {2, 1, 90, 4, 2, 24, true, 40},
      {2, 1, 90, 4, 2, 24, true, 90},
      {1, 60, 20, 2, 1, 8},  // the first forty queries see nothing
      {2, 70, 131, 4, 2, 32, false},
      {1, 5, 300, 2, 1, 17, false},
      {1, 200, 200, 2, 1, 12, true, 1},
      {1, 200, 200, 2, 1, 12, true, 37},
      {1, 331, 331, 2, 1, 12, true, 130},
      {1, 100, 180, 2, 1, 12, true, 33},
      {1, 200, 200, 2, 1, 12, true, 1000},
      // Documents, one of them empty, one of a single step; some steps in none.
      {2, 140, 140, 4, 2, 20, true, 0, {0, 0,   1, 0, 0,   1,  0, 1,   99, 0, 1, 99,  0, 100, 0,
                                        0, 100, 0, 0, 100, 40, 0, 100, 40, 1, 3, 137, 1, 3,   137}},
      {1, 140, 171, 4, 2, 20, true, 16, {0, 0, 60, 0, 0, 91, 0, 60, 80, 0, 91, 80}},
      // Rows that read each other's keys, from odd places on; and none.
      {3, 30, 77, 2, 1, 6, false, 0, {0, 0, 30, 2, 5, 71, 1, 0, 9,  0, 0, 1,
                                      1, 9, 21, 0, 1, 3,  2, 0, 30, 1, 4, 0}},
  };
}

void expect_equal(const Case& c, at::ScalarType type, double values, double gradients) {
  SCOPED_TRACE(testing::Message() << c << ", " << type);
  auto in = random_inputs(c);
  for (auto& t : in) t = t.to(type);
  auto exact = in;
  for (auto& t : exact) t = t.to(at::kDouble);
  const auto dy = at::randn_like(in[0]);
  const auto got = test::evaluate(with(attention, c), in, {dy});
  const auto expected = test::evaluate(with(attention_reference, c), exact, {dy.to(at::kDouble)});
  EXPECT_EQ(got.outputs[0].scalar_type(), type);
  EXPECT_CLOSE(got.outputs[0], expected.outputs[0], values);
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_EQ(got.gradients[i].scalar_type(), type);
    EXPECT_LE(test::relative_error(got.gradients[i], expected.gradients[i]), gradients)
        << "input " << i;
  }
}

TEST(Attention, EqualsItsDefinition) {
  at::manual_seed(1);
  for (const auto& c : cases()) expect_equal(c, at::kDouble, 1e-12, 1e-11);
}

TEST(Attention, Float32AndBFloat16) {
  at::manual_seed(2);
  for (const auto& c : cases()) {
    expect_equal(c, at::kFloat, 3e-6, 6e-6);
    expect_equal(c, at::kBFloat16, 1e-2, 2e-2);
  }
}

// By hand: two keys with scores 0 and log 3 weigh a quarter and three quarters.
TEST(Attention, WeighsByTheExponentialsOfScores) {
  const auto q = at::full({1, 1, 1, 1}, 2.0F);
  const auto k = at::tensor({0.0F, std::log(3.0F) / 2}).view({1, 2, 1, 1});
  const auto v = at::tensor({4.0F, 8.0F}).view({1, 2, 1, 1});
  EXPECT_NEAR(attention(q, k, v, 1.0, false, 0, {}).item<double>(), 7, 1e-6);
  EXPECT_NEAR(attention(q, k, v, 1.0, true, 0, {}).item<double>(), 7, 1e-6);
  EXPECT_NEAR(attention(q, k, v, 1.0, true, 1, {}).item<double>(), 8, 1e-6);
}

TEST(Attention, GradientsByFiniteDifferences) {
  at::manual_seed(3);
  for (const auto& c : {Case{1, 60, 75, 4, 2, 6}, Case{1, 60, 75, 4, 2, 6, true, 9}}) {
    test::expect_gradients(with(attention, c), random_inputs(c));
  }
}

// Also of second derivatives, which go through the definition.
TEST(Attention, SecondDerivatives) {
  at::manual_seed(4);
  const Case c{1, 9, 12, 4, 2, 5, true, 6};
  const auto dy = at::randn({1, 9, 4, 5}, kDoubles);
  const test::Function gradients = [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    return torch::autograd::grad({with(attention, c)(in)[0]}, in, {dy}, true, true);
  };
  auto in = random_inputs(c);
  for (auto& t : in) t.set_requires_grad(true);
  test::expect_gradients(
      [&](const std::vector<Tensor>& x) {
        std::vector<Tensor> leaves;
        for (const auto& t : x) {
          leaves.push_back(t.requires_grad() ? t : t.detach().set_requires_grad(true));
        }
        return gradients(leaves);
      },
      in, 1e-6);
}

// A scale below zero, scores of hundreds, and none given.
TEST(Attention, AnyScale) {
  at::manual_seed(5);
  const Case c{1, 150, 150, 2, 1, 32};
  const auto in = random_inputs(c);
  for (const std::optional<double> scale :
       std::vector<std::optional<double>>{-0.3, 30.0, 0.0, std::nullopt}) {
    const auto expected = with(attention_reference, c, scale)(in)[0];
    EXPECT_CLOSE(with(attention, c, scale)(in)[0], expected, 1e-11);
    const auto narrow = with(
        attention, c, scale)({in[0].to(at::kFloat), in[1].to(at::kFloat), in[2].to(at::kFloat)});
    EXPECT_CLOSE(narrow[0], expected, 1e-3);
  }
}

TEST(Attention, TakesTensorsWhereTheyLie) {
  at::manual_seed(6);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const auto heads_first = at::randn({2, 4, 90, 24}, kDoubles).to(type);
    const auto wide = at::randn({2, 101, 200}, kDoubles).to(type);
    const Case c{2, 90, 100, 4, 2, 24};
    std::vector<Tensor> in = {heads_first.transpose(1, 2),
                              wide.narrow(1, 1, 100).narrow(2, 3, 48).unflatten(2, {2, 24}),
                              wide.narrow(1, 0, 100).narrow(2, 51, 48).unflatten(2, {2, 24})};
    const auto run = [&] { return with(attention, c)(in)[0]; };
    const auto y = run();
    for (auto& t : in) t = t.contiguous();
    EXPECT_TRUE(at::equal(y, run()));
  }
}

// What lies around the operands, and in memory that was used before, reaches nothing.
TEST(Attention, ReadsNothingElse) {
  at::manual_seed(7);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Case c{2, 61, 75, 4, 2, 22, true, 0, {0, 3, 50, 1, 7, 61, 1, 0, 61, 0, 1, 74}};
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const auto in = random_inputs(c);
    std::vector<Tensor> poisoned;
    for (const auto& t : in) {
      auto room = at::full({t.size(0) + 2, t.size(1), t.size(2), t.size(3) + 2}, nan, kDoubles);
      auto inside = room.narrow(0, 1, t.size(0)).narrow(3, 0, t.size(3));
      inside.copy_(t);
      poisoned.push_back(room.to(type).narrow(0, 1, t.size(0)).narrow(3, 0, t.size(3)));
    }
    poisoned[1].select(0, 1).narrow(0, 0, 7).fill_(nan);  // keys of no span
    poisoned[2].select(0, 1).narrow(0, 68, 7).fill_(nan);
    poisoned[0].select(0, 0).narrow(0, 0, 3).fill_(nan);
    std::vector<Tensor> leaves;
    for (auto& t : poisoned) leaves.push_back(t.detach().set_requires_grad(true));
    const auto y = with(attention, c)(leaves)[0];
    EXPECT_TRUE(y.isfinite().all().item<bool>());
    const auto found = torch::autograd::grad({y}, leaves, {at::ones_like(y)});
    for (const auto& g : found) EXPECT_TRUE(g.isfinite().all().item<bool>());
    EXPECT_EQ(found[1].select(0, 1).narrow(0, 0, 7).abs().max().item<double>(), 0);
  }
}

TEST(Attention, KeepsNaN) {
  auto in = random_inputs({1, 70, 70, 1, 1, 16});
  in[1][0][30][0][3] = std::numeric_limits<double>::quiet_NaN();
  for (const auto type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    const auto y = attention(in[0].to(type), in[1].to(type), in[2].to(type), {}, true, 0, {});
    EXPECT_TRUE(y[0].narrow(0, 30, 40).isnan().all().item<bool>());
  }
}

TEST(Attention, DoesNotDependOnTheNumberOfThreads) {
  at::manual_seed(8);
  const Case c{2, 330, 330, 4, 2, 40};
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    auto in = random_inputs(c);
    for (auto& t : in) t = t.to(type);
    test::expect_same_on_threads(with(attention, c), in, {at::randn_like(in[0])});
  }
}

TEST(Attention, NothingToDo) {
  const auto empty = [](int64_t rows, int64_t queries, int64_t keys) {
    const auto q = at::zeros({rows, queries, 2, 8}).set_requires_grad(true);
    const auto k = at::zeros({rows, keys, 1, 8}).set_requires_grad(true);
    const auto y = attention(q, k, k, {}, true, 0, {});
    EXPECT_EQ(y.sizes(), q.sizes());
    const auto found = torch::autograd::grad({y}, {q, k}, {at::ones_like(y)});
    EXPECT_EQ(found[0].sizes(), q.sizes());
    EXPECT_EQ(found[1].abs().sum().item<double>(), 0);
    return y;
  };
  empty(0, 5, 5);
  empty(2, 0, 5);
  EXPECT_EQ(empty(2, 5, 0).abs().sum().item<double>(), 0);
}

TEST(Attention, SaysWhatDoesNotFit) {
  const auto q = at::zeros({2, 9, 4, 8}), k = at::zeros({2, 9, 2, 8});
  const auto run = [&](const Tensor& a, const Tensor& b, const Tensor& c, bool causal = true,
                       int64_t window = 0, const std::vector<int64_t>& spans = {}) {
    const auto lines =
        spans.empty() ? std::optional<Tensor>() : at::tensor(spans, at::kLong).view({-1, 6});
    return test::error_of([&] { attention(a, b, c, {}, causal, window, lines); });
  };
  EXPECT_THAT(run(q[0], k, k), HasSubstr("q must be [batch, queries, heads, head_dim]"));
  EXPECT_THAT(run(q, at::zeros({2, 9, 2, 7}), k), HasSubstr("k must be [rows, keys, kv_heads"));
  EXPECT_THAT(run(q, at::zeros({2, 9, 3, 8}), k), HasSubstr("heads of k, 3, must divide"));
  EXPECT_THAT(run(q, k, at::zeros({2, 8, 2, 8})), HasSubstr("v must be [2, 9, 2, 8] as k"));
  EXPECT_THAT(run(q, k, k.to(at::kDouble)), HasSubstr("k and v must be Float on cpu as q"));
  EXPECT_THAT(run(q, k[0].unsqueeze(0), k[0].unsqueeze(0)), HasSubstr("as many rows as q, 2"));
  EXPECT_THAT(run(q, k, k, true, -1), HasSubstr("window = -1 must be 0 (all) or more"));
  EXPECT_THAT(run(q, k, k, false, 3), HasSubstr("window = 3 needs causal = true"));
  EXPECT_THAT(run(q, k, k, true, 0, {0, 0, 10, 0, 0, 9}), HasSubstr("10 queries from 0 on"));
  EXPECT_THAT(run(q, k, k, true, 0, {0, 0, 9, 2, 0, 9}), HasSubstr("9 keys from 0 on of row 2"));
  EXPECT_THAT(run(q, k, k, true, 0, {0, 0, 5, 0, 0, 5, 0, 4, 5, 0, 5, 4}),
              HasSubstr("two spans share queries of row 0, those from 4 on"));
  EXPECT_THAT(run(q, k, k, true, 0, {0, 0, 5, 0, 0, 6, 0, 5, 4, 0, 5, 4}),
              HasSubstr("two spans share keys of row 0, those from 5 on"));
}

}  // namespace
}  // namespace gamut::ops
