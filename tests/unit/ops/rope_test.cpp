// gamut::rope: the angles by hand, then the kernels of each instruction set against the reference.
#include <torch/csrc/autograd/autograd.h>

#include "ops/rope/kernel.h"
#include "ops/rope/rope.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

// The operator with its defaults.
Tensor rotate(const Tensor& x, const Tensor& cos, const Tensor& sin, bool interleaved,
              const std::optional<Tensor>& weight = std::nullopt,
              std::optional<double> eps = std::nullopt,
              const std::optional<Tensor>& gain = std::nullopt) {
  return rope(x, cos, sin, interleaved, weight, eps, gain);
}

struct Case {
  int64_t batch, time, heads, head_dim, pairs;
  bool interleaved, norm, weight, gain;
};

// Sizes around registers of 4 to 16 lanes and tasks of 64 steps; partial and no rotation.
const std::vector<Case> kCases = {
    {1, 5, 2, 8, 3, false, false, false, false},  {2, 70, 3, 64, 32, false, true, true, true},
    {2, 33, 2, 56, 28, false, true, false, true}, {1, 65, 1, 42, 21, true, true, true, false},
    {3, 7, 4, 96, 24, true, true, true, true},    {2, 9, 2, 18, 9, false, true, true, true},
    {1, 1, 1, 2, 1, true, false, false, true},    {1, 130, 2, 31, 5, true, true, true, false},
    {2, 3, 2, 17, 0, false, true, true, false},   {1, 4, 1, 256, 128, false, true, true, true}};

struct Drawn {
  Tensor x, cos, sin, weight, gain;
};

Drawn draw(const Case& c, bool by_row) {
  const auto angle = by_row ? at::randn({c.batch, c.time, c.pairs}, kDoubles) * 5
                            : at::randn({c.time, c.pairs}, kDoubles) * 5;
  return {at::randn({c.batch, c.time, c.heads, c.head_dim}, kDoubles), angle.cos(), angle.sin(),
          at::rand({c.head_dim}, kDoubles) + 0.5, at::rand({c.heads}, kDoubles) + 0.5};
}

template <class Op>
test::Function with(const Case& c, const Drawn& d, Op op) {
  return [=](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    return {op(in[0], d.cos, d.sin, c.interleaved,
               c.weight ? std::optional<Tensor>(in[1]) : std::nullopt,
               c.norm ? std::optional<double>(1e-5) : std::nullopt,
               c.gain ? std::optional<Tensor>(in[2]) : std::nullopt)};
  };
}

TEST(Rope, TurnsEachPairByItsAngle) {
  at::manual_seed(1);
  const auto x = at::randn({1, 5, 2, 8}, kDoubles), angle = at::randn({5, 3}, kDoubles);
  for (const bool interleaved : {false, true}) {
    const auto y = rotate(x, angle.cos(), angle.sin(), interleaved);
    for (int64_t t = 0; t < 5; ++t) {
      for (int64_t j = 0; j < 3; ++j) {
        const int64_t first = interleaved ? 2 * j : j, second = interleaved ? 2 * j + 1 : j + 3;
        const double turn = angle[t][j].item<double>();
        const double a = x[0][t][1][first].item<double>(), b = x[0][t][1][second].item<double>();
        EXPECT_NEAR(y[0][t][1][first].item<double>(), a * std::cos(turn) - b * std::sin(turn),
                    1e-12);
        EXPECT_NEAR(y[0][t][1][second].item<double>(), a * std::sin(turn) + b * std::cos(turn),
                    1e-12);
      }
    }
    EXPECT_TRUE(at::equal(y.narrow(3, 6, 2), x.narrow(3, 6, 2)));
  }
}

TEST(Rope, EqualsItsReferenceWithGradients) {
  at::manual_seed(2);
  for (const auto& c : kCases) {
    for (const bool by_row : {false, true}) {
      SCOPED_TRACE(testing::Message() << "head_dim " << c.head_dim << ", pairs " << c.pairs);
      const auto d = draw(c, by_row);
      const std::vector<Tensor> inputs = {d.x, d.weight, d.gain};
      const std::vector<Tensor> cotangent = {at::randn_like(d.x)};
      const auto expected = test::evaluate(with(c, d, rope_reference), inputs, cotangent);
      const auto got = test::evaluate(with(c, d, rotate), inputs, cotangent);
      EXPECT_CLOSE(got.outputs[0], expected.outputs[0], 1e-13);
      for (size_t i = 0; i < 3; ++i) EXPECT_CLOSE(got.gradients[i], expected.gradients[i], 1e-12);
      for (const auto type : {at::kFloat, at::kBFloat16}) {
        // What rounding x and dy gives is not the kernel's error.
        const auto x = d.x.to(type), dy = cotangent[0].to(type);
        const auto exact =
            test::evaluate(with(c, d, rope_reference), {x.to(at::kDouble), d.weight, d.gain},
                           {dy.to(at::kDouble)});
        const auto rounded = test::evaluate(
            with(c, d, rotate), {x, d.weight.to(at::kFloat), d.gain.to(at::kFloat)}, {dy});
        const double bound = type == at::kFloat ? 2e-6 : 5e-3;
        EXPECT_EQ(rounded.outputs[0].scalar_type(), type);
        EXPECT_CLOSE(rounded.outputs[0], exact.outputs[0], bound);
        for (size_t i = 0; i < 3; ++i)
          EXPECT_CLOSE(rounded.gradients[i], exact.gradients[i], bound);
      }
    }
  }
}

TEST(Rope, HasTheGradientsOfFiniteDifferences) {
  at::manual_seed(3);
  const Case c{2, 5, 2, 10, 4, true, true, true, true};
  const auto d = draw(c, false);
  test::expect_gradients(with(c, d, rotate), {d.x, d.weight, d.gain});
}

TEST(Rope, HasGradientsOfGradients) {
  at::manual_seed(4);
  const Case c{1, 3, 2, 6, 2, false, true, true, true};
  const auto d = draw(c, false);
  const auto second = [&](auto op) -> test::Function {
    return [=](const std::vector<Tensor>& in) -> std::vector<Tensor> {
      const auto y = with(c, d, op)(in)[0];
      return torch::autograd::grad({y.square().sum()}, {in[0], in[1]}, {}, true, true);
    };
  };
  const std::vector<Tensor> inputs = {d.x, d.weight, d.gain};
  const std::vector<Tensor> cotangents = {at::randn_like(d.x), at::randn_like(d.weight)};
  const auto expected = test::evaluate(second(rope_reference), inputs, cotangents);
  const auto got = test::evaluate(second(rotate), inputs, cotangents);
  for (size_t i = 0; i < 3; ++i) EXPECT_CLOSE(got.gradients[i], expected.gradients[i], 1e-12);
}

// A slice of a fused projection is read where it lies.
TEST(Rope, TakesStridedHeads) {
  at::manual_seed(5);
  const auto wide = at::randn({2, 70, 200});
  const auto x = wide.narrow(2, 40, 96).unflatten(2, {3, 32});
  const auto angle = at::randn({70, 16});
  const auto run = [&](const Tensor& in) { return rotate(in, angle.cos(), angle.sin(), true); };
  EXPECT_TRUE(at::equal(run(x), run(x.contiguous())));
  const auto turned = x.transpose(0, 1).contiguous().transpose(0, 1);
  EXPECT_TRUE(at::equal(run(turned), run(x)));
}

TEST(Rope, KernelsOfAllInstructionSetsAgree) {
  at::manual_seed(6);
  const Case c{1, 40, 2, 56, 20, true, true, true, true};
  const auto d = draw(c, false);
  const auto floats = [](const Tensor& t) { return t.to(at::kFloat).contiguous(); };
  const auto x = floats(d.x), cos = floats(d.cos), sin = floats(d.sin), weight = floats(d.weight),
             gain = floats(d.gain);
  const auto expected = rope_reference(d.x, d.cos, d.sin, true, d.weight, 1e-5, d.gain);
  std::vector<std::pair<Isa, void (*)(const RopeArguments&)>> kernels = {
      {Isa::avx2, avx2::rope_forward},
      {Isa::avx512, avx512::rope_forward},
      {Isa::avx512_bf16, avx512_bf16::rope_forward}};
  for (const auto& [set, kernel] : kernels) {
    if (set > isa()) continue;
    const auto y = at::empty_like(x);
    RopeArguments a{};
    a.element = Element::float32;
    a.heads = 2;
    a.head_dim = 56;
    a.pairs = 20;
    a.interleaved = a.normalize = true;
    a.eps = 1e-5;
    a.end = 40;
    a.x = x.const_data_ptr();
    a.x_stride = 2 * 56;
    a.cos = cos.const_data_ptr();
    a.sin = sin.const_data_ptr();
    a.table_steps = 40;
    a.weight = weight.const_data_ptr();
    a.gain = gain.const_data_ptr();
    a.y = y.mutable_data_ptr();
    kernel(a);
    EXPECT_CLOSE(y, expected, 2e-6) << name_of(set);
  }
}

TEST(Rope, SaysWhatDoesNotFit) {
  const auto x = at::randn({2, 5, 3, 8}), table = at::ones({5, 4});
  EXPECT_NO_THROW(rotate(x, table, table, false));
  EXPECT_THROW(rotate(x[0], table, table, false), Error);
  EXPECT_THROW(rotate(x, at::ones({4, 4}), table, false), Error);
  EXPECT_THROW(rotate(x, at::ones({5, 5}), at::ones({5, 5}), false), Error);
  EXPECT_THROW(rotate(x, at::ones({3, 5, 4}), at::ones({3, 5, 4}), false), Error);
  EXPECT_THROW(rotate(x, table, table, false, at::ones({8})), Error);
  EXPECT_THROW(rotate(x, table, table, false, at::ones({7}), 1e-5), Error);
  EXPECT_THROW(rotate(x, table, table, false, std::nullopt, 1e-5, at::ones({8})), Error);
}

}  // namespace
}  // namespace gamut::ops
