// The causal convolution against LibTorch's conv1d, its reference and finite differences.
#include "ops/causal_conv1d/causal_conv1d.h"

#include <gamut/documents.h>
#include <torch/csrc/autograd/autograd.h>

#include "ops/norm/norm.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using test::offsets;
using ::testing::HasSubstr;

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

struct Case {
  int64_t batch, time, channels, width;
};

// x, weight, bias, initial state.
std::vector<Tensor> random_inputs(const Case& c, int64_t documents) {
  return {at::randn({c.batch, c.time, c.channels}, kDoubles),
          at::randn({c.channels, 1, c.width}, kDoubles) / std::sqrt(double(c.width)),
          at::randn({c.channels}, kDoubles),
          at::randn({documents, c.width - 1, c.channels}, kDoubles)};
}

using Operator = decltype(&causal_conv1d);

test::Function with(Operator op, const char* activation, const Tensor& cu_seqlens = {}) {
  return [=](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    const auto documents = cu_seqlens.defined() ? std::optional<Tensor>(cu_seqlens) : std::nullopt;
    const auto act = activation ? std::optional<c10::string_view>(activation) : std::nullopt;
    const auto [y, state] = op(in[0], in[1], in[2], in[3], documents, act);
    return {y, state};
  };
}

// One document a row, by LibTorch's own convolution.
std::vector<Tensor> padded_conv1d(const std::vector<Tensor>& in, bool silu) {
  const auto inputs = at::cat({in[3], in[0]}, 1);
  const auto sums =
      at::conv1d(inputs.transpose(1, 2), in[1], in[2], 1, at::IntArrayRef{0}, 1, in[1].size(0));
  const int64_t back = in[1].size(2) - 1;
  return {(silu ? at::silu(sums) : sums).transpose(1, 2),
          inputs.narrow(1, inputs.size(1) - back, back)};
}

void expect_equal(const test::Function& got, const test::Function& expected,
                  const std::vector<Tensor>& inputs, double tolerance) {
  std::vector<Tensor> cotangents;
  for (const auto& y : expected(inputs)) cotangents.push_back(at::randn_like(y));
  const auto a = test::evaluate(got, inputs, cotangents);
  const auto b = test::evaluate(expected, inputs, cotangents);
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    if (b.outputs[i].numel() == 0) continue;
    EXPECT_LE(test::relative_error(a.outputs[i], b.outputs[i]), tolerance) << "output " << i;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].numel() == 0) continue;
    EXPECT_LE(test::relative_error(a.gradients[i], b.gradients[i]), tolerance) << "input " << i;
  }
}

TEST(CausalConv1d, EqualsConv1d) {
  at::manual_seed(2);
  for (const auto& c : std::vector<Case>{{2, 150, 9, 4},
                                         {1, 3, 5, 4},
                                         {3, 1, 8, 4},
                                         {2, 129, 37, 4},
                                         {1, 64, 16, 1},
                                         {2, 20, 7, 2},
                                         {1, 70, 4, 7},
                                         {2, 200, 17, 64},
                                         {1, 30, 33, 33}}) {
    const auto inputs = random_inputs(c, c.batch);
    for (const bool silu : {false, true}) {
      SCOPED_TRACE(testing::Message() << "time " << c.time << ", width " << c.width);
      const test::Function expected = [&](const std::vector<Tensor>& in) {
        return padded_conv1d(in, silu);
      };
      expect_equal(with(causal_conv1d, silu ? "silu" : nullptr), expected, inputs, 1e-12);
      expect_equal(with(causal_conv1d_reference, silu ? "silu" : nullptr), expected, inputs, 1e-12);
    }
  }
}

TEST(CausalConv1d, KeepsDocumentsApart) {
  at::manual_seed(3);
  for (const auto& cu :
       {offsets({0, 2, 2, 3, 90, 91, 200, 200, 330, 398, 400}), offsets({0, 0, 200, 400})}) {
    const int64_t documents = Documents(cu, 2, 200).size();
    for (const int64_t width : {1, 3, 4, 20}) {
      SCOPED_TRACE(testing::Message() << documents << " documents, width " << width);
      const auto inputs = random_inputs({2, 200, 18, width}, documents);
      expect_equal(with(causal_conv1d, "silu", cu), with(causal_conv1d_reference, "silu", cu),
                   inputs, 1e-12);
    }
  }
}

TEST(CausalConv1d, GradientsByFiniteDifferences) {
  at::manual_seed(4);
  const auto cu = offsets({0, 1, 3, 70, 70, 75});
  test::expect_gradients(with(causal_conv1d, "silu", cu), random_inputs({1, 75, 6, 4}, 4));
  test::expect_gradients(with(causal_conv1d, nullptr), random_inputs({2, 9, 5, 6}, 2));
}

TEST(CausalConv1d, EachInputMayBeAbsent) {
  at::manual_seed(5);
  const auto in = random_inputs({2, 10, 5, 4}, 2);
  const auto [y, state] = causal_conv1d(in[0], in[1].squeeze(1), {}, {}, {}, {});
  const auto expected =
      padded_conv1d({in[0], in[1], at::zeros_like(in[2]), at::zeros_like(in[3])}, false);
  EXPECT_CLOSE(y, expected[0], 1e-13);
  EXPECT_TRUE(at::equal(state, in[0].narrow(1, 7, 3)));
}

TEST(CausalConv1d, Float32AndBFloat16) {
  at::manual_seed(6);
  const auto in = random_inputs({2, 300, 100, 4}, 2);
  const auto f = with(causal_conv1d, "silu");
  const std::vector<Tensor> cotangents = {at::randn_like(in[0]), at::randn_like(in[3])};
  const auto exact = test::evaluate(f, in, cotangents);
  std::vector<Tensor> single, mixed;
  for (const auto& t : in) single.push_back(t.to(at::kFloat));
  mixed = single;
  mixed[0] = single[0].to(at::kBFloat16);  // as under autocast: float32 weights
  const auto narrow = test::evaluate(f, single, cotangents);
  auto rounded = in;
  rounded[0] = mixed[0].to(at::kDouble);
  const auto exact_rounded = test::evaluate(f, rounded, cotangents);
  const auto half = test::evaluate(f, mixed, cotangents);
  EXPECT_EQ(half.outputs[0].scalar_type(), at::kBFloat16);
  EXPECT_EQ(half.outputs[1].scalar_type(), at::kFloat);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_CLOSE(narrow.outputs[i], exact.outputs[i], 1e-6);
    EXPECT_CLOSE(half.outputs[i], exact_rounded.outputs[i], 4e-3);
  }
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_CLOSE(narrow.gradients[i], exact.gradients[i], 1e-6);
    EXPECT_CLOSE(half.gradients[i], exact_rounded.gradients[i], 1e-2);
    EXPECT_EQ(half.gradients[i].scalar_type(), mixed[i].scalar_type());
  }
}

TEST(CausalConv1d, TakesSlicesWhereTheyLie) {
  at::manual_seed(7);
  const auto wide = at::randn({2, 30, 50}, kDoubles);
  auto in = random_inputs({2, 30, 20, 4}, 2);
  for (const auto& x : {wide.narrow(2, 13, 20),
                        wide.narrow(2, 0, 20).transpose(0, 1).contiguous().transpose(0, 1)}) {
    in[0] = x;
    const auto y = with(causal_conv1d, "silu")(in)[0];
    in[0] = x.contiguous();
    EXPECT_TRUE(at::equal(y, with(causal_conv1d, "silu")(in)[0]));
  }
}

TEST(CausalConv1d, StateCarriesWhatTheNextCallNeeds) {
  at::manual_seed(8);
  auto in = random_inputs({2, 40, 5, 4}, 2);
  const auto whole = with(causal_conv1d, "silu")(in);
  const auto x = in[0];
  std::vector<Tensor> pieces;
  for (const auto& [from, to] : {std::pair(0, 1), {1, 3}, {3, 30}, {30, 40}}) {
    in[0] = x.slice(1, from, to);
    const auto part = with(causal_conv1d, "silu")(in);
    pieces.push_back(part[0]);
    in[3] = part[1];
  }
  EXPECT_CLOSE(at::cat(pieces, 1), whole[0], 1e-13);
  EXPECT_TRUE(at::equal(in[3], whole[1]));
}

TEST(CausalConv1d, DoesNotDependOnTheNumberOfThreads) {
  at::manual_seed(9);
  auto in = random_inputs({1, 500, 33, 4}, 1);
  for (auto& t : in) t = t.to(at::kFloat);
  const std::vector<Tensor> cotangents = {at::randn_like(in[0]), at::randn_like(in[3])};
  test::expect_same_on_threads(with(causal_conv1d, "silu"), in, cotangents);
}

// The gradient of |gradients|^2.
std::vector<Tensor> second_gradients(const test::Function& f, const std::vector<Tensor>& inputs) {
  std::vector<Tensor> leaves;
  for (const auto& t : inputs) leaves.push_back(t.detach().clone().set_requires_grad(true));
  Tensor loss = at::zeros({}, kDoubles);
  for (const auto& y : f(leaves)) loss = loss + y.pow(3).sum();
  Tensor norm = at::zeros({}, kDoubles);
  for (const auto& g : torch::autograd::grad({loss}, leaves, {}, true, /*create_graph=*/true)) {
    norm = norm + g.square().sum();
  }
  return torch::autograd::grad({norm}, leaves);
}

TEST(CausalConv1d, HasSecondDerivatives) {
  at::manual_seed(10);
  const auto in = random_inputs({2, 6, 3, 4}, 2);
  const auto got = second_gradients(with(causal_conv1d, "silu"), in);
  const auto expected = second_gradients(with(causal_conv1d_reference, "silu"), in);
  for (size_t i = 0; i < 4; ++i) EXPECT_CLOSE(got[i], expected[i], 1e-11);
}

TEST(CausalConv1d, LargeInputsGiveNoNaN) {
  auto in = random_inputs({1, 70, 5, 4}, 1);
  for (auto& t : in) t = (t * 1e8).to(at::kFloat);
  const auto out = test::evaluate(with(causal_conv1d, "silu"), in, {at::ones_like(in[0])});
  EXPECT_TRUE(at::isfinite(out.outputs[0]).all().item<bool>());
  for (const auto& g : out.gradients) EXPECT_TRUE(at::isfinite(g).all().item<bool>());
}

TEST(CausalConv1d, SaysWhatDoesNotFit) {
  const auto x = at::ones({2, 5, 3}), w = at::ones({3, 4});
  EXPECT_THAT(test::error_of([&] { causal_conv1d(x[0], w, {}, {}, {}, {}); }),
              HasSubstr("x must be [batch, time, channels]"));
  EXPECT_THAT(test::error_of([&] { causal_conv1d(x, at::ones({4, 4}), {}, {}, {}, {}); }),
              HasSubstr("with 3 channels as in x; it is [4, 4]"));
  EXPECT_THAT(test::error_of([&] { causal_conv1d(x, at::ones({3, 65}), {}, {}, {}, {}); }),
              HasSubstr("65 taps; it must have 1 to 64"));
  EXPECT_THAT(test::error_of([&] { causal_conv1d(x, w, at::ones({2}), {}, {}, {}); }),
              HasSubstr("the bias must be [3]"));
  EXPECT_THAT(test::error_of([&] { causal_conv1d(x, w, {}, at::ones({2, 4, 3}), {}, {}); }),
              HasSubstr("= [2, 3, 3]; it is [2, 4, 3]"));
  EXPECT_THAT(test::error_of([&] { causal_conv1d(x, w, {}, {}, {}, "relu"); }),
              HasSubstr("no activation `relu`"));
  EXPECT_THAT(test::error_of([&] { causal_conv1d(x, w, {}, {}, offsets({0, 6, 10}), {}); }),
              HasSubstr("must contain every row start"));
}

TEST(CausalConv1d, NormalisesHeads) {
  at::manual_seed(21);
  const auto x = at::randn({2, 7, 12}, kDoubles), weight = at::randn({12, 4}, kDoubles);
  for (const bool clamp : {false, true}) {
    const auto [y, state] =
        causal_conv1d_l2_norm(x, weight, {}, 6, 1e-3, clamp, {}, {}, c10::string_view("silu"));
    const auto [plain, same] = causal_conv1d(x, weight, {}, {}, {}, c10::string_view("silu"));
    const auto expected = l2_norm_reference(plain.unflatten(2, {2, 6}), 1e-3, clamp).flatten(2);
    EXPECT_CLOSE(y, expected, 1e-14);
    EXPECT_TRUE(at::equal(state, same));
  }
  try {
    causal_conv1d_l2_norm(x, weight, {}, 5, 1e-6, false, {}, {}, {});
    ADD_FAILURE() << "5 does not divide 12";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("head_dim = 5 must divide the channels"));
  }
}

}  // namespace
}  // namespace gamut::ops
