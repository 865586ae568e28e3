// Operators called from Lua against the same calls in C++.
#include <ATen/ATen.h>

#include "script_fixture.h"

namespace gamut::script {
namespace {

struct Case {
  const char* expression;
  std::function<at::Tensor(const at::Tensor&, const at::Tensor&)> expected;
};

#define CASE(lua, cpp)                                                              \
  Case {                                                                            \
    lua, [](const at::Tensor& a, const at::Tensor& b) -> at::Tensor { return cpp; } \
  }

const Case kCases[] = {
    CASE("a + b", a + b),
    CASE("a - b", a - b),
    CASE("a * b", a* b),
    CASE("a / b", a / b),
    CASE("a + 2", at::add(a, at::Scalar(2))),
    CASE("a - 0.1", at::sub(a, at::Scalar(0.1))),
    CASE("a * 1.7", at::mul(a, at::Scalar(1.7))),
    CASE("a / 3", at::div(a, at::Scalar(3))),
    CASE("2 - a", at::rsub(a, at::Scalar(2))),
    CASE("1 / a", at::reciprocal(a)),
    CASE("a ^ 2", at::pow(a, at::Scalar(2))),
    CASE("2 ^ a", at::pow(at::Scalar(2), a)),
    CASE("-a", -a),
    CASE("a // 0.5", at::floor_divide(a, at::Scalar(0.5))),
    CASE("a % 0.3", at::remainder(a, at::Scalar(0.3))),
    CASE("gamut.add(a, b, {alpha = 0.5})", at::add(a, b, 0.5)),
    CASE("a:matmul(b:t())", at::matmul(a, b.t())),
    CASE("gamut.addmm(a, a:mm(b:t()), b, {beta = 2})", at::addmm(a, a.mm(b.t()), b, 2)),
    CASE("a:sum()", a.sum()),
    CASE("a:sum(0)", a.sum(0)),
    CASE("a:sum{dim = {0, 1}, keepdim = true}", a.sum(at::IntArrayRef({0, 1}), true)),
    CASE("a:sum(0, {dtype = 'float64'})", a.sum(0, false, at::kDouble)),
    CASE("a:mean(-1, true)", a.mean(-1, true)),
    CASE("a:std(0)", at::std(a, 0)),
    CASE("a:var{dim = 1, correction = 0}", at::var(a, at::OptionalIntArrayRef({1}), 0)),
    CASE("(a:max(1))", std::get<0>(a.max(1))),
    CASE("select(2, a:max(1))", std::get<1>(a.max(1))),
    CASE("a:argmax()", a.argmax()),
    CASE("a:softmax(-1)", a.softmax(-1)),
    CASE("a:log_softmax{dim = 0}", a.log_softmax(0)),
    CASE("a:clamp(-0.5, 0.5)", a.clamp(-0.5, 0.5)),
    CASE("a:clamp{min = 0}", a.clamp(0)),
    CASE("gamut.where(a:gt(0), a, b)", at::where(a.gt(0), a, b)),
    CASE("gamut.where(a:gt(0), a, 0.0)", at::where(a.gt(0), a, 0.0)),
    CASE("a:masked_fill(a:lt(0), 9)", a.masked_fill(a.lt(0), 9)),
    CASE("gamut.cat({a, b}, 1)", at::cat({a, b}, 1)),
    CASE("gamut.stack{a, b}", at::stack({a, b})),
    CASE("a:view(-1, 2)", a.view({-1, 2})),
    CASE("a:permute(1, 0)", a.permute({1, 0})),
    CASE("a:transpose(0, 1)", a.transpose(0, 1)),
    CASE("a:unsqueeze(0):expand(3, -1, -1)", a.unsqueeze(0).expand({3, -1, -1})),
    CASE("a:split(2)[2]", a.split(2)[1]),
    CASE("a:chunk(2, 1)[1]", a.chunk(2, 1)[0]),
    CASE("a:index_select(0, gamut.tensor{3, 0})",
         a.index_select(0, at::tensor({int64_t{3}, int64_t{0}}))),
    CASE("a:gather(1, a:argsort(1))", a.gather(1, a.argsort(int64_t{1}, false))),
    CASE("(a:topk(2))", std::get<0>(a.topk(2))),
    CASE("(a:sort{dim = 0, descending = true})", std::get<0>(a.sort(0, true))),
    CASE("a:cumsum(0)", a.cumsum(0)),
    CASE("a:roll(1, 0)", a.roll(1, 0)),
    CASE("a:flip(0, 1)", a.flip({0, 1})),
    CASE("a:tril(-1)", a.tril(-1)),
    CASE("gamut.einsum('ij,kj->ik', {a, b})", at::einsum("ij,kj->ik", {a, b})),
    CASE("gamut.layer_norm(a, {3}, nil, nil, 1e-6)", at::layer_norm(a, {3}, {}, {}, 1e-6)),
    CASE("gamut.linear(a, b)", at::linear(a, b)),
    CASE("gamut.gelu(a, {approximate = 'tanh'})", at::gelu(a, "tanh")),
    CASE("gamut.silu(a)", at::silu(a)),
    CASE("a:pad({1, 2}, 'constant', 3.0)", at::pad(a, {1, 2}, "constant", 3.0)),
    CASE("gamut.conv1d(a:view(1, 4, 3), a:new_ones{2, 4, 1}, nil, 1, 0)",
         at::conv1d(a.view({1, 4, 3}), a.new_ones({2, 4, 1}))),
    CASE("a:to('bfloat16')", a.to(at::kBFloat16)),
    CASE("gamut.zeros_like(a, {dtype = 'int64'})", at::zeros_like(a, at::kLong)),
    CASE("gamut.full({2, 2}, 0.5, {dtype = 'float64'})", at::full({2, 2}, 0.5, at::kDouble)),
    CASE("gamut.linspace(0, 1, 5)", at::linspace(0, 1, 5)),
    CASE("gamut.arange(2, 9, 3)", at::arange(2, 9, 3)),
    CASE("gamut.cross_entropy_loss(a, a:argmin(1), {label_smoothing = 0.1})",
         at::cross_entropy_loss(a, a.argmin(1), {}, at::Reduction::Mean, -100, 0.1)),
    CASE("gamut.scaled_dot_product_attention(a, b, a, {is_causal = true})",
         at::scaled_dot_product_attention(a, b, a, {}, 0.0, true)),
    CASE("a:at{{1, 3}, -1}", a.narrow(0, 1, 2).select(1, 2)),
    CASE("gamut.ops.aten.mul(a, b)", a* b),
};

class OperatorTest : public ScriptTest {
 protected:
  void compare(at::ScalarType type) {
    at::manual_seed(1);
    const at::Tensor a = at::randn({4, 3}).to(type), b = at::randn({4, 3}).to(type);
    for (const auto& one : kCases) {
      const at::Tensor expected = one.expected(a, b), actual = tensor(one.expression, {a, b});
      ASSERT_TRUE(actual.defined()) << one.expression;
      EXPECT_EQ(actual.scalar_type(), expected.scalar_type()) << one.expression;
      ASSERT_EQ(actual.sizes(), expected.sizes()) << one.expression;
      EXPECT_TRUE(at::equal(actual, expected)) << one.expression;
    }
  }
};

TEST_F(OperatorTest, BitEqualInFloat32) {
  compare(at::kFloat);
}
TEST_F(OperatorTest, BitEqualInFloat64) {
  compare(at::kDouble);
}

// A number next to a tensor is wrapped by the bridge; LibTorch's overload for numbers is the truth.
TEST_F(OperatorTest, NumbersComputeAsLibTorchsOwnOverload) {
  const std::pair<const char*, at::Tensor (*)(const at::Tensor&, const at::Scalar&)> operators[] = {
      {"a + ", [](const at::Tensor& a, const at::Scalar& s) { return at::add(a, s); }},
      {"a - ", [](const at::Tensor& a, const at::Scalar& s) { return at::sub(a, s); }},
      {"a * ", [](const at::Tensor& a, const at::Scalar& s) { return at::mul(a, s); }},
      {"a / ", [](const at::Tensor& a, const at::Scalar& s) { return at::div(a, s); }},
  };
  const std::pair<const char*, at::Scalar> numbers[] = {{"3", int64_t{3}},
                                                        {"0.1", 0.1},
                                                        {"-2.75", -2.75},
                                                        {"1e30", 1e30},
                                                        {"16777217", int64_t{16777217}}};
  for (auto type : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf, at::kInt, at::kLong}) {
    for (const at::Tensor& a :
         {at::arange(1, 6).to(type), at::arange(1, 6).to(type).select(0, 2)}) {
      for (const auto& [name, op] : operators) {
        for (const auto& [text, number] : numbers) {
          const at::Tensor expected = op(a, number), actual = tensor(name + std::string(text), {a});
          EXPECT_EQ(actual.scalar_type(), expected.scalar_type()) << name << text << " " << type;
          EXPECT_TRUE(at::equal(actual, expected)) << name << text << " " << type;
        }
      }
    }
  }
}

TEST_F(OperatorTest, GradientsOfWrappedNumbers) {
  at::Tensor a = at::randn({3}).set_requires_grad(true);
  tensor("(a * 2.5 + 1):sum()", {a}).backward();
  EXPECT_TRUE(at::equal(a.grad(), at::full({3}, 2.5)));
}

TEST_F(OperatorTest, ResultsThatAreNotTensors) {
  ASSERT_TRUE(
      try_run("assert(gamut.result_type(gamut.ones{1}, 2) == 'float32')"
              "assert(gamut.allclose(gamut.ones{1}, gamut.ones{1}) == true)"
              "assert(#gamut.ones{3}:unbind() == 3)"))
      << error_.message;
}

}  // namespace
}  // namespace gamut::script
