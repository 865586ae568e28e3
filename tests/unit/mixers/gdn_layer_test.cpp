// The gdn layer, loaded as a plugin: fixtures, the models it has to be, states, precision.
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include "support.h"

namespace gamut {
namespace {

using at::Tensor;
using test::Fixture;
using test::LayerCase;

std::vector<LayerCase> layer_cases() {
  OptionMap plain = {{"d_model", int64_t{64}}, {"n_heads", int64_t{4}}, {"head_dim", int64_t{12}}};
  OptionMap grouped = {{"d_model", int64_t{64}},  {"n_heads", int64_t{2}},
                       {"n_v_heads", int64_t{4}}, {"head_dim", int64_t{16}},
                       {"expand_v", 1.5},         {"allow_neg_eigval", true}};
  return {{"layer_gdn", plain}, {"layer_gdn_neg_grouped", grouped}};
}

TEST(GdnLayer, EqualsTheFixtures) {
  test::expect_layers("gdn", layer_cases());
}

TEST(GdnLayer, HasTheFlaLayersTensors) {
  const Fixture f("layer_gdn", at::kFloat);
  const auto mixer = test::make_mixer("gdn", layer_cases()[0].options);
  EXPECT_EQ(mixer->parameters().size(), 13u);
  for (const auto& p : mixer->parameters()) EXPECT_EQ(p.tensor.sizes(), f["w." + p.name].sizes());
}

TEST(GdnLayer, NeedsOnlyAWidth) {
  const auto mixer = test::make_mixer("gdn", {{"d_model", int64_t{192}}});
  EXPECT_EQ(test::parameter(*mixer, "q_proj.weight").size(0), 3 * 48);
  EXPECT_EQ(test::parameter(*mixer, "v_proj.weight").size(0), 3 * 96);
}

OptionMap of_preset(const std::string& preset, int64_t d_model, int64_t heads) {
  return {{"preset", preset}, {"d_model", d_model}, {"n_heads", heads}};
}

// Parameters a mixer of published models.
TEST(GdnLayer, HasTheSizesOfKnownModels) {
  const auto size = [](const OptionMap& options) {
    return test::parameter_count(*test::make_mixer("gdn", options));
  };
  EXPECT_EQ(size(of_preset("golf", 448, 8)), 1216868);
  EXPECT_EQ(size(of_preset("speech", 384, 6)), 894060);
  EXPECT_EQ(size(of_preset("music", 1024, 16)), 4227232);
  EXPECT_EQ(size(of_preset("olmo", 3840, 30)), 88750332);
  EXPECT_EQ(size(of_preset("fla", 448, 8)), size(of_preset("golf", 448, 8)));
  auto short_golf = of_preset("golf", 448, 8);  // the golf study's 4k model
  short_golf["head_dim"] = int64_t{28};
  EXPECT_EQ(size(short_golf), 813640);
}

TEST(GdnLayer, DrawsInTheDocumentedOrder) {
  at::manual_seed(7);
  const auto mixer = test::make_mixer("gdn", of_preset("golf", 16, 2));
  at::manual_seed(7);
  for (const char* name : {"q_proj", "k_proj", "v_proj", "a_proj", "b_proj", "g_proj", "o_proj",
                           "q_conv1d", "k_conv1d", "v_conv1d"}) {
    const auto got = test::parameter(*mixer, std::string(name) + ".weight");
    const double bound = 1 / std::sqrt(static_cast<double>(got[0].numel()));
    const auto drawn = at::empty(got.sizes(), at::kFloat).uniform_(-bound, bound);
    const auto expected = std::string(name) == "o_proj" ? at::zeros_like(drawn) : drawn;
    EXPECT_CLOSE(got, expected, 1e-6) << name;
  }
  const auto a = at::empty({2}, at::kFloat).uniform_(1, 16);
  EXPECT_CLOSE(test::parameter(*mixer, "A_log"), a.log(), 1e-6);
  const auto dt = (at::rand({2}) * (std::log(0.1) - std::log(0.001)) + std::log(0.001)).exp();
  EXPECT_CLOSE(at::softplus(test::parameter(*mixer, "dt_bias")), dt, 1e-5);
}

// First numbers of the golf hybrid's block 0, logged from PyTorch 2.9.1, seed 1337: the embedding
// is drawn first.
TEST(GdnLayer, StartsFromPyTorchsNumbers) {
  at::manual_seed(1337);
  at::randn({1024, 448});
  const auto mixer = test::make_mixer("gdn", of_preset("golf", 448, 8));
  const auto w = test::parameter(*mixer, "q_proj.weight")[0].slice(0, 0, 3);
  EXPECT_CLOSE(w, at::tensor({-0.0163312, -0.0330507, 0.00035770}), 2e-6);
  const auto a = test::parameter(*mixer, "A_log").slice(0, 0, 3);
  EXPECT_CLOSE(a, at::tensor({1.924285, 0.725756, 2.317080}), 1e-6);
}

TEST(GdnLayer, DecodesAsItTrains) {
  at::manual_seed(8);
  auto mixer = test::make_mixer("gdn", layer_cases()[1].options);
  test::convert(*mixer, at::kDouble);
  const c10::NoGradGuard no_grad;
  const auto x = at::randn({3, 70, 64}, at::kDouble);
  const auto whole = test::forward(*mixer, x);
  auto state = mixer->new_state(3);
  std::vector<Tensor> pieces;
  for (const auto& [from, to] : {std::pair(0, 50), {50, 51}, {51, 53}, {53, 62}, {62, 70}}) {
    pieces.push_back(test::forward(*mixer, x.slice(1, from, to), &state));
  }
  EXPECT_CLOSE(at::cat(pieces, 1), whole, 1e-12);
  EXPECT_EQ(state.position, 70);
}

TEST(GdnLayer, StatesCarryNoGraph) {
  auto mixer = test::make_mixer("gdn", layer_cases()[0].options);
  auto state = mixer->new_state(1);
  const auto y = test::forward(*mixer, at::randn({1, 20, 64}), &state);
  EXPECT_TRUE(y.requires_grad());
  for (const auto& t : state.tensors) EXPECT_FALSE(t.tensor.requires_grad()) << t.name;
}

TEST(GdnLayer, AutocastStaysCloseToFloat32) {
  at::manual_seed(9);
  auto mixer = test::make_mixer(
      "gdn", {{"d_model", int64_t{64}}, {"n_heads", int64_t{4}}, {"init", "xavier"}});
  const auto x = at::randn({2, 100, 64});
  const auto exact = test::forward(*mixer, x);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const auto y = test::forward(*mixer, x);
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_CLOSE(y, exact, 3e-2);
  EXPECT_GT(test::relative_error(y, exact), 1e-5);
}

TEST(GdnLayer, SaysWhatIsWrong) {
  const auto refusal = [](OptionMap options) -> std::string {
    try {
      test::make_mixer("gdn", options);
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  const OptionMap base = {{"d_model", int64_t{64}}, {"n_heads", int64_t{4}}};
  const auto with = [&](const std::string& name, OptionValue value) {
    auto options = base;
    options[name] = std::move(value);
    return refusal(options);
  };
  EXPECT_THAT(with("n_v_heads", int64_t{6}), testing::HasSubstr("multiple of n_heads = 4"));
  EXPECT_THAT(with("expand_v", 1.3), testing::HasSubstr("whole number of value channels"));
  EXPECT_THAT(with("chunk_size", int64_t{48}), testing::HasSubstr("power of two"));
  EXPECT_THAT(with("head_dim", int64_t{257}), testing::HasSubstr("256"));
  EXPECT_THAT(with("chunk_size", int64_t{8}), testing::HasSubstr("from 16"));
  EXPECT_THAT(with("preset", "gulf"), testing::AllOf(testing::HasSubstr("\"fla\", \"olmo\""),
                                                     testing::HasSubstr("mean \"golf\"")));
  EXPECT_THAT(with("use_out_norm", false), testing::HasSubstr("use_gate = false"));
  EXPECT_THAT(with("dt_init_range", std::vector<double>{0.0, 1.0}),
              testing::HasSubstr("dt_init_range must begin above 0"));
  EXPECT_THAT(with("A_init_range", std::vector<double>{3.0}), testing::HasSubstr("two numbers"));
}

}  // namespace
}  // namespace gamut
