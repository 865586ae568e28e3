// gamut::gated_delta_rule by its CUDA kernels, emulated: outputs and gradients against the
// definition in float64, in every type, shape and state of gates that asks for another path.
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include "ops/gated_delta_rule/gated_delta_rule.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using test::Evaluated;

struct Sizes {
  int64_t batch, time, heads, value_heads, d_k, d_v;
};

Tensor unit(const Tensor& x) {
  return x / x.norm(2, -1, true);
}

// q, k, v, g, beta, initial state; keys of length one.
std::vector<Tensor> random_inputs(const Sizes& s, int64_t sequences, double gate = 0.5) {
  return {unit(at::randn({s.batch, s.time, s.heads, s.d_k})),
          unit(at::randn({s.batch, s.time, s.heads, s.d_k})),
          at::randn({s.batch, s.time, s.value_heads, s.d_v}),
          -gate * at::rand({s.batch, s.time, s.value_heads}),
          2 * at::rand({s.batch, s.time, s.value_heads}),
          at::randn({sequences, s.value_heads, s.d_k, s.d_v})};
}

// q, k, v in the type; gates, strengths and states stay float32.
std::vector<Tensor> in_type(std::vector<Tensor> x, at::ScalarType type) {
  for (int i = 0; i < 3; ++i) x[i] = x[i].to(type);
  return x;
}

using Operator = decltype(&gated_delta_rule);

test::Function call(Operator f, const std::optional<Tensor>& cu_seqlens = {}) {
  return [=](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    const auto initial = x.size() > 5 ? std::optional<Tensor>(x[5]) : std::nullopt;
    const auto [y, state] = f(x[0], x[1], x[2], x[3], x[4], {}, initial, cu_seqlens, 0);
    return {y, state};
  };
}

double relative_norm(const Tensor& got, const Tensor& expected) {
  const auto a = got.detach().to(at::kDouble), b = expected.detach().to(at::kDouble);
  const double size = b.norm().item<double>(), error = (a - b).norm().item<double>();
  if (std::isnan(error)) return std::numeric_limits<double>::infinity();
  return size == 0 ? error : error / size;
}

struct Bounds {
  at::ScalarType type;
  double outputs, gradients, gates;
};
const Bounds kFloat32{at::kFloat, 1e-5, 1e-5, 2e-5};
const Bounds kBfloat16{at::kBFloat16, 5e-3, 8e-3, 2e-2};
const Bounds kFloat16{at::kHalf, 1e-3, 2e-3, 4e-3};

void expect_within(const Evaluated& got, const Evaluated& expected, const Bounds& bounds) {
  for (size_t i = 0; i < expected.outputs.size(); ++i) {
    EXPECT_LE(relative_norm(got.outputs[i], expected.outputs[i]), bounds.outputs) << "output " << i;
  }
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    const bool is_gate = i == 3 || i == 4;
    EXPECT_LE(relative_norm(got.gradients[i], expected.gradients[i]),
              is_gate ? bounds.gates : bounds.gradients)
        << "gradient " << i;
  }
}

std::vector<Tensor> cotangents_for(const std::vector<Tensor>& outputs) {
  std::vector<Tensor> result;
  for (const auto& y : outputs) result.push_back(at::randn_like(y));
  return result;
}

void compare(const std::vector<Tensor>& inputs, const Bounds& bounds,
             const std::optional<Tensor>& cu_seqlens = {}) {
  const auto typed = in_type(inputs, bounds.type);
  const test::EmulatedDevice device;
  const auto cotangents = cotangents_for(call(gated_delta_rule, cu_seqlens)(typed));
  const auto got = test::evaluate(call(gated_delta_rule, cu_seqlens), typed, cotangents);
  EXPECT_TRUE(device.was_used());
  EXPECT_EQ(got.outputs[0].scalar_type(), bounds.type);
  EXPECT_EQ(got.outputs[1].scalar_type(), at::kFloat);
  for (size_t i = 0; i < typed.size(); ++i) {
    EXPECT_EQ(got.gradients[i].scalar_type(), typed[i].scalar_type()) << i;
  }
  expect_within(got,
                test::evaluate(call(gated_delta_rule_reference, cu_seqlens),
                               test::as_doubles(typed), test::as_doubles(cotangents)),
                bounds);
}

TEST(GatedDeltaRuleOnDevice, EqualsItsDefinitionInEveryType) {
  at::manual_seed(1);
  for (const auto& bounds : {kFloat32, kBfloat16, kFloat16}) {
    SCOPED_TRACE(bounds.type);
    compare(random_inputs({1, 70, 1, 1, 16, 16}, 1), bounds);
  }
}

}  // namespace
}  // namespace gamut::ops
