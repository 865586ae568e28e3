// What a mixer must bear besides ordinary input: 65,536 steps of training, decays at both ends of
// their range, the same key written at every step with the largest strength.
#include <c10/core/GradMode.h>

#include <cmath>

#include "support.h"

namespace gamut {
namespace {

using at::Tensor;
using test::forward;

struct Case {
  const char* name;
  const char* mixer;
  OptionMap options;             // besides d_model
  const char* strong = nullptr;  // the bias by which a step's decay grows, for recurrences
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.name;
}

constexpr int64_t kWidth = 8;

std::unique_ptr<Mixer> make(const Case& c, at::ScalarType dtype) {
  at::manual_seed(1);
  OptionMap options = c.options;
  options["d_model"] = kWidth;
  auto mixer = test::make_mixer(c.mixer, options);
  test::convert(*mixer, dtype);
  return mixer;
}

OptionValue table(OptionMap entries) {
  return OptionValue(std::make_shared<const OptionMap>(std::move(entries)));
}

bool is_finite(const Tensor& x) {
  return at::isfinite(x).all().item<bool>();
}

void expect_finite_gradients(const Mixer& mixer) {
  for (const auto& p : mixer.parameters()) {
    ASSERT_TRUE(p.tensor.grad().defined()) << p.name;
    EXPECT_TRUE(is_finite(p.tensor.grad())) << p.name;
  }
}

const OptionMap kSmallGdn = {{"n_heads", int64_t{1}}, {"head_dim", int64_t{8}}};

const Case kGdn = {"gdn", "gdn", kSmallGdn, "dt_bias"};
const Case kMamba1 = {"mamba_1", "mamba", {{"d_state", int64_t{4}}}, "dt_proj.bias"};
const Case kMamba2 = {"mamba_2",
                      "mamba",
                      {{"version", int64_t{2}}, {"head_dim", int64_t{8}}, {"d_state", int64_t{8}}},
                      "dt_bias"};
const Case kMemoryCache = {"memory_cache",
                           "memory_cache",
                           {{"segment_size", int64_t{4096}}, {"mixer_options", table(kSmallGdn)}}};
const Case kLogarithmic = {"memory_cache_logarithmic",
                           "memory_cache",
                           {{"segment_size", int64_t{1024}},
                            {"segments", std::string("logarithmic")},
                            {"mixer_options", table(kSmallGdn)}}};
const Case kWindow = {
    "attention_window", "attention", {{"n_heads", int64_t{1}}, {"window", int64_t{32}}}};

class LongSequence : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(HardCases, LongSequence,
                         ::testing::Values(kGdn, kMamba1, kMamba2, kMemoryCache, kLogarithmic,
                                           kWindow),
                         [](const auto& info) { return info.param.name; });

// One training step over 65,536 steps, and the same output in two calls with a state.
TEST_P(LongSequence, TrainsAndContinues) {
  constexpr int64_t kTime = 65536, kCut = 40001;
  auto mixer = make(GetParam(), at::kFloat);
  const Tensor x = at::randn({1, kTime, kWidth}).requires_grad_();
  const Tensor y = forward(*mixer, x);
  (y * at::randn_like(y)).sum().backward();
  EXPECT_TRUE(is_finite(y));
  EXPECT_TRUE(is_finite(x.grad()));
  EXPECT_GT(x.grad().slice(1, 0, 100).abs().min().item<double>(), 0);
  expect_finite_gradients(*mixer);

  const c10::NoGradGuard no_grad;
  State state = mixer->new_state(1);
  const Tensor first = forward(*mixer, x.slice(1, 0, kCut), &state);
  const Tensor second = forward(*mixer, x.slice(1, kCut, kTime), &state);
  EXPECT_EQ(state.position, kTime);
  EXPECT_CLOSE(at::cat({first, second}, 1), y, 2e-5);
}

class Decay : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(HardCases, Decay, ::testing::Values(kGdn, kMamba1, kMamba2),
                         [](const auto& info) { return info.param.name; });

// float32 in one call against float64 one step at a time, where no chunk can overflow.
void expect_exact(const Case& c, const std::function<void(Mixer&)>& prepare, int64_t time,
                  const Tensor& x, double tolerance) {
  auto narrow = make(c, at::kFloat), wide = make(c, at::kDouble);
  const c10::NoGradGuard no_grad;
  prepare(*narrow);
  prepare(*wide);
  State state = wide->new_state(1);
  std::vector<Tensor> steps;
  for (int64_t t = 0; t < time; ++t) {
    steps.push_back(forward(*wide, x.slice(1, t, t + 1).to(at::kDouble), &state));
  }
  EXPECT_CLOSE(forward(*narrow, x), at::cat(steps, 1), tolerance);

  const c10::AutoGradMode grad(true);
  const Tensor leaf = x.detach().clone().requires_grad_();
  forward(*narrow, leaf).square().sum().backward();
  EXPECT_TRUE(is_finite(leaf.grad()));
  expect_finite_gradients(*narrow);
}

void fill(const Mixer& mixer, const std::string& name, double value) {
  test::parameter(mixer, name).fill_(value);
}

TEST_P(Decay, OfNothingKeepsEverything) {
  const auto prepare = [](Mixer& mixer) { fill(mixer, "A_log", -200); };
  expect_exact(GetParam(), prepare, 300, at::randn({1, 300, kWidth}), 2e-5);
}

// About -20 a step: exp(-20) of the state is left, and products of two gates overflow when divided.
TEST_P(Decay, OfTwentyAStepForgetsEverything) {
  const auto prepare = [&](Mixer& mixer) {
    fill(mixer, "A_log", std::log(20.0));
    fill(mixer, GetParam().strong, 1);
  };
  expect_exact(GetParam(), prepare, 300, at::randn({1, 300, kWidth}), 2e-5);
}

// Strong and no decay by turns, as an input-dependent gate may choose.
TEST_P(Decay, ByTurns) {
  const auto prepare = [&](Mixer& mixer) {
    fill(mixer, "A_log", std::log(20.0));
    fill(mixer, GetParam().strong, 0);
  };
  Tensor x = at::randn({1, 300, kWidth});
  x.slice(1, 100, 200).mul_(40);
  expect_exact(GetParam(), prepare, 300, x, 5e-5);
}

// beta = 2 and one key of length 1 for all steps: the state is mirrored at every step, and an error
// of the key's length would grow as a power of the steps.
TEST(DeltaRule, MirrorsAtOneKeyForThousandsOfSteps) {
  Case c = kGdn;
  c.options["use_short_conv"] = false;
  c.options["allow_neg_eigval"] = true;
  c.options["b_bias"] = true;
  const auto prepare = [](Mixer& mixer) {
    fill(mixer, "A_log", -200);
    fill(mixer, "b_proj.bias", 50);
  };
  const Tensor x = at::randn({1, 1, kWidth}).expand({1, 3000, kWidth}).contiguous();
  expect_exact(c, prepare, 3000, x, 2e-3);
}

}  // namespace
}  // namespace gamut
