// The attention mixer as a plugin: equations, states, options, cross-attention, foreign weights.
#include <c10/core/GradMode.h>
#include <gamut/encoder_memory.h>
#include <gamut/weight_layouts.h>

#include "attention/rope.h"
#include "ops/rope/rope.h"
#include "plain_attention.h"
#include "support.h"

namespace gamut::attention {
namespace {

using at::Tensor;
using test::offsets;

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

OptionMap layer_options() {
  return {{"d_model", int64_t{32}}, {"n_heads", int64_t{4}}, {"n_kv_heads", int64_t{2}},
          {"rope", "half"},         {"qk_norm", "rms"},      {"q_gain", 1.5}};
}

Tensor per_head(const Tensor& x, const Tensor& weight) {
  return at::linear(x, weight).unflatten(2, {-1, 8});
}

TEST(AttentionLayer, EqualsItsEquations) {
  at::manual_seed(5);
  auto mixer = test::make_mixer("attention", layer_options());
  test::convert(*mixer, at::kDouble);
  const c10::NoGradGuard no_grad;
  for (const char* name : {"q_norm.weight", "k_norm.weight", "q_gain"}) {
    test::parameter(*mixer, name).uniform_(0.5, 2.0);
  }
  const auto weight = [&](const char* name) { return test::parameter(*mixer, name); };
  const auto x = at::randn({2, 20, 32}, kDoubles);
  const auto rms = [](const Tensor& y, const Tensor& w) {
    return y / (y.square().mean({-1}, true) + 1e-5).sqrt() * w;
  };
  Rope r;
  r.pairs = RopePairs::half;
  r.dim = 8;
  const auto angles = angles_of(at::arange(20, at::kLong), r, at::kDouble, at::kCPU);
  const auto turn = [&](const Tensor& y) {
    return ops::rope_reference(y, angles.cos, angles.sin, false, std::nullopt, std::nullopt,
                               std::nullopt);
  };
  auto q = turn(rms(per_head(x, weight("q_proj.weight")), weight("q_norm.weight")));
  q = q * weight("q_gain").view({4, 1});
  const auto k = turn(rms(per_head(x, weight("k_proj.weight")), weight("k_norm.weight")));
  const auto v = per_head(x, weight("v_proj.weight"));
  const auto seen = at::ones({1, 20, 20}, at::kBool).tril();
  const auto y = plain_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), seen,
                                 1 / std::sqrt(8.0));
  EXPECT_CLOSE(test::forward(*mixer, x), at::linear(y.flatten(2), weight("o_proj.weight")), 1e-12);
}

// Every step of prefill and decoding, with and without a window shorter than the sequence.
TEST(AttentionLayer, DecodesAsItTrains) {
  for (const int64_t window : {0, 9}) {
    SCOPED_TRACE(window);
    at::manual_seed(6);
    auto options = layer_options();
    options["window"] = window;
    auto mixer = test::make_mixer("attention", options);
    test::convert(*mixer, at::kDouble);
    const auto x = at::randn({3, 160, 32}, kDoubles);
    const c10::NoGradGuard no_grad;
    const auto whole = test::forward(*mixer, x);
    auto state = mixer->new_state(3);
    std::vector<Tensor> pieces = {test::forward(*mixer, x.slice(1, 0, 30), &state),
                                  test::forward(*mixer, x.slice(1, 30, 45), &state)};
    for (int64_t t = 45; t < 160; ++t) {
      pieces.push_back(test::forward(*mixer, x.slice(1, t, t + 1), &state));
    }
    EXPECT_CLOSE(at::cat(pieces, 1), whole, 1e-11);
  }
}

// With autograd on, the state is extended by copies; results are the same and carry no graph.
TEST(AttentionLayer, TrainsWithAState) {
  at::manual_seed(7);
  auto mixer = test::make_mixer("attention", layer_options());
  test::convert(*mixer, at::kDouble);
  const auto x = at::randn({2, 30, 32}, kDoubles);
  const auto whole = test::forward(*mixer, x);
  auto state = mixer->new_state(2);
  const auto y = at::cat({test::forward(*mixer, x.slice(1, 0, 13), &state),
                          test::forward(*mixer, x.slice(1, 13, 30), &state)},
                         1);
  EXPECT_CLOSE(y, whole, 1e-12);
  y.sum().backward();
  EXPECT_FALSE(state["k"].requires_grad());
}

TEST(AttentionLayer, DocumentsWithWindowAndStateOfUnequalRows) {
  at::manual_seed(8);
  auto options = layer_options();
  options["window"] = int64_t{6};
  auto mixer = test::make_mixer("attention", options);
  test::convert(*mixer, at::kDouble);
  const c10::NoGradGuard no_grad;
  const auto x = at::randn({2, 24, 32}, kDoubles);
  auto state = mixer->new_state(2);
  const auto first = test::forward(*mixer, x.slice(1, 0, 20), &state, offsets({0, 17, 20, 40}));
  const auto rest = test::forward(*mixer, x.slice(1, 20, 24), &state);
  const auto alone = [&](int64_t row, int64_t from, int64_t to) {
    return test::forward(*mixer, x.narrow(0, row, 1).slice(1, from, to));
  };
  EXPECT_CLOSE(first.narrow(0, 0, 1), at::cat({alone(0, 0, 17), alone(0, 17, 20)}, 1), 1e-12);
  EXPECT_CLOSE(rest[0], alone(0, 17, 24)[0].slice(0, 3, 7), 1e-12);
  EXPECT_CLOSE(at::cat({first, rest}, 1)[1], alone(1, 0, 24)[0], 1e-12);
}

TEST(AttentionLayer, GivenPositionsReplaceTheCount) {
  at::manual_seed(9);
  auto mixer = test::make_mixer("attention", layer_options());
  test::convert(*mixer, at::kDouble);
  const c10::NoGradGuard no_grad;
  const auto x = at::randn({1, 6, 32}, kDoubles);
  const auto with = [&](const Tensor& positions) {
    MixerContext context;
    context.positions = positions;
    return mixer->forward(x, context);
  };
  const auto plain = test::forward(*mixer, x);
  EXPECT_CLOSE(with(at::arange(100, 106, at::kLong)), plain, 1e-10);  // only differences matter
  EXPECT_GT(test::relative_error(with(at::arange(6, at::kLong) * 3), plain), 1e-3);
  EXPECT_THROW(with(at::arange(5, at::kLong)), Error);
}

// Sizes of published models: the golf hybrid and the speech model.
TEST(AttentionLayer, HasTheSizesOfKnownModels) {
  const OptionMap golf = {
      {"d_model", int64_t{448}},     {"n_heads", int64_t{8}}, {"n_kv_heads", int64_t{4}},
      {"qk_norm", "rms_weightless"}, {"q_gain", 1.5},         {"rope_reverse", true},
      {"out_init_scale", 0.0}};
  const auto mixer = test::make_mixer("attention", golf);
  EXPECT_EQ(test::parameter_count(*mixer), 602120);
  EXPECT_EQ(test::parameter(*mixer, "o_proj.weight").abs().sum().item<float>(), 0.f);
  const OptionMap speech = {{"d_model", int64_t{384}},  {"n_heads", int64_t{6}},
                            {"n_kv_heads", int64_t{2}}, {"qk_norm", "rms"},
                            {"rope", "interleaved"},    {"rope_base", 500000.0}};
  EXPECT_EQ(test::parameter_count(*test::make_mixer("attention", speech)), 393344);
}

// Every place to split a short sequence at, prefill then one step at a time.
TEST(AttentionLayer, SplitsAnywhere) {
  for (const int64_t window : {0, 1, 2, 5, 12, 40}) {
    at::manual_seed(10);
    auto options = layer_options();
    options["window"] = window;
    auto mixer = test::make_mixer("attention", options);
    test::convert(*mixer, at::kDouble);
    const c10::NoGradGuard no_grad;
    const auto x = at::randn({2, 12, 32}, kDoubles), whole = test::forward(*mixer, x);
    for (int64_t split = 1; split < 12; ++split) {
      SCOPED_TRACE(testing::Message() << "window " << window << ", split " << split);
      auto state = mixer->new_state(2);
      const auto first = test::forward(*mixer, x.slice(1, 0, split), &state);
      auto other = state.clone();
      const auto rest = test::forward(*mixer, x.slice(1, split, 12), &state);
      EXPECT_CLOSE(at::cat({first, rest}, 1), whole, 1e-12);
      std::vector<Tensor> pieces = {first};
      for (int64_t t = split; t < 12; ++t) {
        pieces.push_back(test::forward(*mixer, x.slice(1, t, t + 1), &other));
      }
      EXPECT_CLOSE(at::cat(pieces, 1), whole, 1e-12);
    }
  }
}

// 65,536 steps through a window of 48: the state stays as large as the window, and what is far away
// has no influence on values.
TEST(AttentionLayer, ReadsOnForeverWithAWindow) {
  at::manual_seed(11);
  auto options = layer_options();
  options["window"] = int64_t{48};
  auto mixer = test::make_mixer("attention", options);
  const c10::NoGradGuard no_grad;
  auto state = mixer->new_state(1);
  const auto x = at::randn({1, 65536 + 100, 32});
  for (int64_t t = 0; t < 65536; t += 8192) test::forward(*mixer, x.slice(1, t, t + 8192), &state);
  std::vector<Tensor> steps;
  const void* const lies = state["k"].storage().data();
  for (int64_t t = 65536; t < 65536 + 100; ++t) {
    steps.push_back(test::forward(*mixer, x.slice(1, t, t + 1), &state));
  }
  EXPECT_EQ(state["k"].storage().data(), lies);
  EXPECT_EQ(state["k"].storage().nbytes(), 2 * 48 * 8 * sizeof(float));
  EXPECT_EQ(state.position, 65636);
  // Rotations are relative: the same steps from position 0 on give the same, but for rounding.
  const auto again = test::forward(*mixer, x.slice(1, 65536 - 47, 65636)).slice(1, 47);
  EXPECT_CLOSE(at::cat(steps, 1), again, 2e-2);
  MixerContext context;
  context.positions = at::arange(65536 - 47, 65636, at::kLong);
  EXPECT_CLOSE(at::cat(steps, 1),
               mixer->forward(x.slice(1, 65536 - 47, 65636), context).slice(1, 47), 1e-5);
}

TEST(AttentionLayer, DropsOnlyWhileTraining) {
  at::manual_seed(12);
  for (const char* name : {"dropout", "attn_dropout"}) {
    auto options = layer_options();
    options[name] = 0.5;
    auto mixer = test::make_mixer("attention", options);
    const c10::NoGradGuard no_grad;
    const auto x = at::randn({2, 30, 32}), plain = test::forward(*mixer, x);
    EXPECT_TRUE(at::equal(test::forward(*mixer, x), plain));
    MixerContext context;
    context.training = true;
    EXPECT_GT(test::relative_error(mixer->forward(x, context), plain), 0.05) << name;
  }
}

TEST(AttentionLayer, CrossEqualsItsEquations) {
  at::manual_seed(13);
  auto options = layer_options();
  options.erase("rope");
  options["cross"] = true;
  options["d_memory"] = int64_t{20};
  options["qkv_bias"] = options["out_bias"] = true;
  auto mixer = test::make_mixer("attention", options);
  test::convert(*mixer, at::kDouble);
  const c10::NoGradGuard no_grad;
  for (const auto& p : mixer->parameters()) Tensor(p.tensor).add_(at::randn_like(p.tensor) * 0.3);
  const auto get = [&](const std::string& name) { return test::parameter(*mixer, name); };
  const auto heads = [&](const Tensor& x, const std::string& name) {
    return at::linear(x, get(name + ".weight"), get(name + ".bias")).unflatten(2, {-1, 8});
  };
  const auto rms = [](const Tensor& y, const Tensor& w) {
    return y / (y.square().mean({-1}, true) + 1e-5).sqrt() * w;
  };
  const auto x = at::randn({2, 7, 32}, kDoubles), memory = at::randn({2, 9, 20}, kDoubles);
  const auto q = rms(heads(x, "q_proj"), get("q_norm.weight")) * get("q_gain").view({4, 1});
  const auto k = rms(heads(memory, "k_proj"), get("k_norm.weight")), v = heads(memory, "v_proj");
  auto seen = at::ones({2, 7, 9}, at::kBool);
  seen[1].narrow(1, 4, 5).fill_(false);
  const auto y = plain_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), seen,
                                 1 / std::sqrt(8.0));
  MixerContext context;
  const auto got =
      memory_reader_of(*mixer)->forward_with_memory(x, {memory, offsets({9, 4})}, context);
  EXPECT_CLOSE(got, at::linear(y.flatten(2), get("o_proj.weight"), get("o_proj.bias")), 1e-12);
}

// ---- weights of other projects

NamedTensors import(Mixer& mixer, const NamedTensors& given) {
  const auto* importer = static_cast<const WeightImport*>(mixer.query(WeightImport::kId));
  return importer->import_weights(given).value();
}

void load(Mixer& mixer, const NamedTensors& tensors) {
  const c10::NoGradGuard no_grad;
  for (const auto& t : tensors) test::parameter(mixer, t.name).copy_(t.tensor);
}

std::unique_ptr<Mixer> with_rope(const std::string& pairs, bool reverse) {
  auto options = layer_options();
  options["rope"] = pairs;
  options["rope_reverse"] = reverse;
  options["rope_dim"] = int64_t{6};
  auto mixer = test::make_mixer("attention", options);
  test::convert(*mixer, at::kDouble);
  return mixer;
}

// Golf's weights, made for rotations by minus the angle in halves, give the same layer however this
// one pairs and turns.
TEST(AttentionWeights, ComeFromOtherPairings) {
  at::manual_seed(14);
  const auto golf = with_rope("half", true);
  const c10::NoGradGuard no_grad;
  for (const auto& p : golf->parameters()) Tensor(p.tensor).add_(at::randn_like(p.tensor) * 0.3);
  const std::map<std::string, std::string> names = {{"q_proj.weight", "c_q.weight"},
                                                    {"k_proj.weight", "c_k.weight"},
                                                    {"v_proj.weight", "c_v.weight"},
                                                    {"o_proj.weight", "proj.weight"}};
  NamedTensors given;
  for (const auto& p : golf->parameters()) {
    given.push_back({names.count(p.name) ? names.at(p.name) : p.name, p.tensor});
  }
  const auto x = at::randn({1, 15, 32}, kDoubles);
  const auto expected = test::forward(*golf, x);
  for (const char* pairs : {"half", "interleaved"}) {
    for (const bool reverse : {false, true}) {
      auto mixer = with_rope(pairs, reverse);
      load(*mixer, import(*mixer, given));
      EXPECT_CLOSE(test::forward(*mixer, x), expected, 1e-12) << pairs << reverse;
    }
  }
}

TEST(AttentionWeights, ComeFused) {
  at::manual_seed(15);
  OptionMap options = {{"d_model", int64_t{32}},   {"n_heads", int64_t{4}},
                       {"n_kv_heads", int64_t{2}}, {"rope", "half"},
                       {"qkv_bias", true},         {"out_bias", true}};
  const auto mixer = test::make_mixer("attention", options);
  const auto qkv = at::randn({64, 32}), bias = at::randn({64}), out = at::randn({32, 32}),
             out_bias = at::randn({32});
  const std::vector<std::vector<std::string>> all = {
      {"qkv.weight", "qkv.bias", "out_proj.weight", "out_proj.bias"},
      {"qkv_proj.weight", "qkv_proj.bias", "o_proj.weight", "o_proj.bias"},
      {"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"}};
  for (const auto& names : all) {
    const auto got =
        import(*mixer, {{names[0], qkv}, {names[1], bias}, {names[2], out}, {names[3], out_bias}});
    std::map<std::string, Tensor> by_name;
    for (const auto& t : got) by_name[t.name] = t.tensor;
    EXPECT_EQ(by_name.size(), 8);
    EXPECT_TRUE(at::equal(by_name["k_proj.weight"], qkv.narrow(0, 32, 16))) << names[0];
    EXPECT_TRUE(at::equal(by_name["v_proj.bias"], bias.narrow(0, 48, 16)));
    EXPECT_TRUE(at::equal(by_name["o_proj.weight"], out));
  }
  try {
    import(*mixer, {{"qkv.weight", qkv.narrow(0, 0, 60)}, {"qkv.bias", bias}});
    FAIL() << "weights that do not fit are taken";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("[60, 32] and should be [64, 32]"));
  }
}

TEST(AttentionLayer, SaysWhatIsWrong) {
  const auto refusal = [](OptionMap options) -> std::string {
    try {
      test::make_mixer("attention", options);
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  auto options = layer_options();
  options["n_kv_heads"] = int64_t{3};
  EXPECT_THAT(refusal(options), testing::HasSubstr("multiple of n_kv_heads = 3"));
  options = layer_options();
  options["n_heads"] = int64_t{6};
  EXPECT_THAT(refusal(options), testing::HasSubstr("not a multiple of n_heads = 6"));
  options = layer_options();
  options["rope_dim"] = int64_t{5};
  EXPECT_THAT(refusal(options), testing::HasSubstr("rope_dim = 5 must be even"));
}

}  // namespace
}  // namespace gamut::attention
