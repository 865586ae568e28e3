// The mamba layers, loaded as a plugin: fixtures, sizes and beginnings of the published layers,
// states, documents, precision, the opened recurrence.
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <gamut/recurrent.h>

#include "support.h"

namespace gamut {
namespace {

using at::Tensor;
using test::Fixture;
using test::LayerCase;

std::vector<LayerCase> layer_cases() {
  const OptionMap first = {{"d_model", int64_t{64}}};
  const OptionMap second = {{"d_model", int64_t{64}},
                            {"version", int64_t{2}},
                            {"d_state", int64_t{32}},
                            {"head_dim", int64_t{16}}};
  OptionMap grouped = second;
  grouped["d_state"] = int64_t{16};
  grouped["n_groups"] = int64_t{2};
  return {{"layer_mamba1", first}, {"layer_mamba2", second}, {"layer_mamba2_grouped", grouped}};
}

TEST(MambaLayer, EqualsTheFixtures) {
  test::expect_layers("mamba", layer_cases());
}

TEST(MambaLayer, HasTheLibrarysTensors) {
  const size_t counts[] = {9, 8, 8};
  for (size_t i = 0; i < 3; ++i) {
    const auto layer = layer_cases()[i];
    const Fixture f(layer.fixture, at::kFloat);
    const auto mixer = test::make_mixer("mamba", layer.options);
    EXPECT_EQ(mixer->parameters().size(), counts[i]);
    for (const auto& p : mixer->parameters()) {
      EXPECT_EQ(p.tensor.sizes(), f["w." + p.name].sizes()) << p.name;
    }
  }
}

int64_t size_of(const OptionMap& options) {
  return test::parameter_count(*test::make_mixer("mamba", options));
}

TEST(MambaLayer, HasTheSizesOfKnownModels) {
  EXPECT_EQ(size_of({{"d_model", int64_t{768}}, {"d_state", int64_t{64}}}), 3992064);  // music
  EXPECT_EQ(size_of({{"d_model", int64_t{768}}}), 3770880);  // mamba-130m: 129,135,360 in all
  // mamba2-130m: 128,989,632 in all, 24 layers with a norm of 768, embedding 50288 x 768, a norm.
  EXPECT_EQ(size_of({{"d_model", int64_t{768}}, {"version", int64_t{2}}}),
            (128989632 - 50288 * 768 - 768) / 24 - 768);
}

TEST(MambaLayer, BeginsAsTheLibrarysDo) {
  at::manual_seed(1);
  const auto first = test::make_mixer("mamba", {{"d_model", int64_t{256}}});
  const auto A = test::parameter(*first, "A_log").exp();
  EXPECT_CLOSE(A, at::arange(1, 17, at::kFloat).expand({512, 16}), 1e-6);
  EXPECT_LE(test::parameter(*first, "dt_proj.weight").abs().max().item<double>(), 0.25);
  const auto second =
      test::make_mixer("mamba", {{"d_model", int64_t{2048}}, {"version", int64_t{2}}});
  const auto heads = test::parameter(*second, "A_log").exp();
  EXPECT_GE(heads.min().item<double>(), 1);
  EXPECT_LE(heads.max().item<double>(), 16.001);
  EXPECT_GT(heads.max().item<double>(), 12);
  for (const auto& bias :
       {test::parameter(*first, "dt_proj.bias"), test::parameter(*second, "dt_bias")}) {
    const auto dt = at::softplus(bias);
    EXPECT_GE(dt.min().item<double>(), 0.000999);
    EXPECT_LE(dt.max().item<double>(), 0.1001);
    // Log-uniform: the mean of the logarithm lies in the middle.
    EXPECT_NEAR(dt.log().mean().item<double>(), std::log(0.01), 0.5);
  }
}

// Both versions, with what is special about them.
std::vector<OptionMap> variants() {
  const OptionMap first = {{"d_model", int64_t{24}}, {"d_state", int64_t{5}}};
  OptionMap second = {{"d_model", int64_t{24}}, {"version", int64_t{2}},  {"d_state", int64_t{6}},
                      {"head_dim", int64_t{8}}, {"n_groups", int64_t{3}}, {"bias", true}};
  OptionMap other_order = second;
  other_order["norm_before_gate"] = true;
  return {first, second, other_order};
}

TEST(MambaLayer, PrefillAndStepsEqualTheWhole) {
  at::manual_seed(2);
  const c10::NoGradGuard no_grad;
  for (const auto& options : variants()) {
    const auto mixer = test::make_mixer("mamba", options);
    const auto x = at::randn({2, 75, 24});
    const auto whole = test::forward(*mixer, x);
    auto state = mixer->new_state(2);
    std::vector<Tensor> parts{test::forward(*mixer, x.narrow(1, 0, 70), &state)};
    for (int64_t t = 70; t < 75; ++t) {
      parts.push_back(test::forward(*mixer, x.narrow(1, t, 1), &state));
    }
    EXPECT_CLOSE(at::cat(parts, 1), whole, 1e-5);
    EXPECT_EQ(state.position, 75);
  }
}

TEST(MambaLayer, PackedDocumentsAreSequencesOfTheirOwn) {
  at::manual_seed(3);
  const c10::NoGradGuard no_grad;
  for (const auto& options : variants()) {
    const auto mixer = test::make_mixer("mamba", options);
    const auto x = at::randn({1, 60, 24});
    auto state = mixer->new_state(1);
    const auto packed = test::forward(*mixer, x, &state, test::offsets({0, 1, 40, 40, 60}));
    std::vector<Tensor> apart;
    auto last = mixer->new_state(1);
    for (const auto& [from, to] : {std::pair(0, 1), std::pair(1, 40), std::pair(40, 60)}) {
      last = mixer->new_state(1);
      apart.push_back(test::forward(*mixer, x.narrow(1, from, to - from), &last));
    }
    EXPECT_CLOSE(packed, at::cat(apart, 1), 1e-5);
    EXPECT_CLOSE(state["ssm"], last["ssm"], 1e-5);
    EXPECT_CLOSE(state["conv"], last["conv"], 1e-6);
  }
}

// float32 inside: a bfloat16 layer is as exact as its weights and its activations allow.
TEST(MambaLayer, BFloat16AndAutocast) {
  at::manual_seed(4);
  for (const auto& options : variants()) {
    const auto mixer = test::make_mixer("mamba", options);
    const auto x = at::randn({2, 50, 24});
    const auto exact = test::forward(*mixer, x);
    at::autocast::set_autocast_enabled(at::kCPU, true);
    const auto cast = test::forward(*mixer, x);
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
    EXPECT_EQ(cast.scalar_type(), at::kBFloat16);
    EXPECT_CLOSE(cast, exact, 0.03);
    test::convert(*mixer, at::kBFloat16);
    auto state = mixer->new_state(2);
    EXPECT_EQ(state["ssm"].scalar_type(), at::kFloat);
    const auto y = test::forward(*mixer, x.to(at::kBFloat16), &state);
    EXPECT_EQ(y.scalar_type(), at::kBFloat16);
    EXPECT_EQ(state["ssm"].scalar_type(), at::kFloat);
    EXPECT_CLOSE(y, exact, 0.04);
    y.to(at::kFloat).square().sum().backward();
    for (const auto& p : mixer->parameters()) EXPECT_TRUE(p.tensor.grad().defined()) << p.name;
  }
}

TEST(MambaLayer, PartsOfTheRecurrenceAreForward) {
  at::manual_seed(5);
  for (const auto& options : variants()) {
    const auto mixer = test::make_mixer("mamba", options);
    auto* recurrent = recurrent_of(*mixer);
    ASSERT_TRUE(recurrent);
    const auto x = at::randn({2, 40, 24});
    MixerContext context;
    const auto features = recurrent->project(x, context);
    const auto empty = memory_of(mixer->new_state(2), recurrent->memory_names());
    const auto scanned = recurrent->scan(features, empty, {});
    EXPECT_CLOSE(recurrent->finish(scanned.read, features, context), test::forward(*mixer, x),
                 1e-5);
    // What the memory after the last step answers to that step is what the scan read there.
    const auto frozen = recurrent->read(features, {at::stack({empty[0], scanned.memory[0]}, 1)});
    EXPECT_EQ(frozen.select(2, 0).abs().max().item<float>(), 0);
    EXPECT_CLOSE(frozen.select(2, 1).select(1, 39), scanned.read.select(1, 39), 1e-5);
  }
}

TEST(MambaLayer, DropoutOnlyWhileTraining) {
  at::manual_seed(6);
  const auto mixer = test::make_mixer("mamba", {{"d_model", int64_t{24}}, {"dropout", 0.5}});
  const auto x = at::randn({1, 40, 24});
  const auto plain = test::forward(*mixer, x);
  EXPECT_GT(at::count_nonzero(plain).item<int64_t>(), 900);
  MixerContext context;
  context.training = true;
  const auto dropped = at::count_nonzero(mixer->forward(x, context)).item<int64_t>();
  EXPECT_NEAR(static_cast<double>(dropped), 480, 100);
}

void expect_refusal(const OptionMap& options, const std::string& part) {
  try {
    test::make_mixer("mamba", options);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

TEST(MambaLayer, RefusesOptionsOfTheOtherVersionAndSizesThatDoNotFit) {
  const auto with = [](const char* name, OptionValue value, int64_t version) {
    return OptionMap{{"d_model", int64_t{24}}, {"version", version}, {name, std::move(value)}};
  };
  for (const char* name : {"head_dim", "n_groups", "chunk_size"}) {
    expect_refusal(with(name, int64_t{1}, 1), "belongs to Mamba-2");
  }
  expect_refusal(with("norm_before_gate", false, 1), "belongs to Mamba-2");
  expect_refusal(with("norm_eps", 1e-5, 1), "belongs to Mamba-2");
  expect_refusal(with("A_init_range", std::vector<double>{1, 2}, 1), "belongs to Mamba-2");
  expect_refusal(with("dt_rank", int64_t{2}, 2), "belongs to Mamba-1");
  expect_refusal(with("head_dim", int64_t{9}, 2), "head_dim = 9 must divide expand * d_model = 48");
  expect_refusal(with("expand", 1.3, 1), "must be a whole number");
  expect_refusal(with("dt_min", 0.5, 1), "must not be above dt_max");
  auto groups = with("head_dim", int64_t{24}, 2);
  groups["n_groups"] = int64_t{4};
  expect_refusal(groups, "n_groups = 4 must divide the 2 heads");
}

}  // namespace
}  // namespace gamut
