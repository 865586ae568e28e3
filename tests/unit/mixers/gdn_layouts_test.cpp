// Weights of other projects in the gdn layer.
#include <c10/core/GradMode.h>
#include <gamut/weight_layouts.h>

#include "support.h"

namespace gamut {
namespace {

using at::Tensor;
using test::Fixture;

WeightImport& import_of(Mixer& mixer) {
  auto* import = static_cast<WeightImport*>(mixer.query(WeightImport::kId));
  GAMUT_CHECK(import, "gdn offers no import");
  return *import;
}

// Heads as in the fixture of Qwen3-Next's layer.
OptionMap qwen_options() {
  return {{"preset", "qwen3_next"},  {"d_model", int64_t{64}},  {"n_heads", int64_t{2}},
          {"n_v_heads", int64_t{4}}, {"head_dim", int64_t{16}}, {"expand_v", 1.5}};
}

NamedTensors weights_of(const Fixture& f, const std::vector<std::string>& names) {
  NamedTensors result;
  for (const auto& name : names) result.push_back({name, f["w." + name]});
  return result;
}

const std::vector<std::string> kQwenNames = {
    "A_log",       "conv1d.weight",  "dt_bias", "in_proj_ba.weight", "in_proj_qkvz.weight",
    "norm.weight", "out_proj.weight"};

Tensor named(const NamedTensors& tensors, const std::string& name) {
  for (const auto& t : tensors) {
    if (t.name == name) return t.tensor;
  }
  throw Error("no tensor `" + name + "`");
}

void copy_into(const Mixer& mixer, const NamedTensors& tensors) {
  const c10::NoGradGuard no_grad;
  for (const auto& p : mixer.parameters()) {
    auto tensor = p.tensor;
    tensor.copy_(named(tensors, p.name));
  }
}

// Gradients in the mixer's layout, compared with the fixture's in the other one: the import is
// linear, so that it takes the one to the other.
void expect_fixture(at::ScalarType dtype, double values, double gradients) {
  const Fixture f("layer_gdn_qwen3next", dtype);
  auto mixer = test::make_mixer("gdn", qwen_options());
  test::convert(*mixer, dtype);
  const auto own = import_of(*mixer).import_weights(weights_of(f, kQwenNames));
  ASSERT_TRUE(own);
  copy_into(*mixer, *own);
  const auto x = f["x"].clone().set_requires_grad(true);
  const auto y = test::forward(*mixer, x);
  EXPECT_CLOSE(y, f["y"], values);
  y.backward(f["dy"]);
  EXPECT_CLOSE(x.grad(), f["dx"], gradients);
  NamedTensors foreign;
  for (const auto& name : kQwenNames) foreign.push_back({name, f["dw." + name]});
  const auto expected = import_of(*mixer).import_weights(foreign);
  for (const auto& p : mixer->parameters()) {
    EXPECT_LE(test::relative_error(p.tensor.grad(), named(*expected, p.name)), gradients) << p.name;
  }
}

TEST(GdnLayouts, Qwen3NextEqualsTheFixture) {
  expect_fixture(at::kDouble, 2e-7, 2e-7);
  expect_fixture(at::kFloat, 1e-5, 2e-5);
}

// The mixer's tensors under other names: foreign name to own.
using Renaming = std::vector<std::pair<std::string, std::string>>;

std::vector<std::pair<std::string, Renaming>> renamings() {
  const Renaming projections = {{"w_q.weight", "q_proj.weight"},  {"w_k.weight", "k_proj.weight"},
                                {"w_v.weight", "v_proj.weight"},  {"w_a.weight", "a_proj.weight"},
                                {"w_b.weight", "b_proj.weight"},  {"w_g.weight", "g_proj.weight"},
                                {"w_out.weight", "o_proj.weight"}};
  Renaming golf = projections;
  for (const auto& more : Renaming{{"q_conv.weight", "q_conv1d.weight"},
                                   {"k_conv.weight", "k_conv1d.weight"},
                                   {"v_conv.weight", "v_conv1d.weight"},
                                   {"o_norm_weight", "o_norm.weight"}}) {
    golf.push_back(more);
  }
  const Renaming speech = {{"gate_proj.weight", "g_proj.weight"},
                           {"out_proj.weight", "o_proj.weight"},
                           {"q_conv1d.conv.weight", "q_conv1d.weight"},
                           {"k_conv1d.conv.weight", "k_conv1d.weight"},
                           {"v_conv1d.conv.weight", "v_conv1d.weight"}};
  return {{"OLMo-core", projections}, {"golf", golf}, {"speech", speech}};
}

// Rows of one tensor after the other, as fused layouts have them.
Tensor rows_of(const Mixer& mixer, const std::vector<std::string>& names) {
  std::vector<Tensor> parts;
  for (const auto& name : names) parts.push_back(test::parameter(mixer, name).detach());
  return at::cat(parts);
}

NamedTensors own_weights(const Mixer& mixer) {
  NamedTensors result;
  for (const auto& p : mixer.parameters()) result.push_back({p.name, p.tensor.detach()});
  return result;
}

void remove(NamedTensors& tensors, const std::vector<std::string>& names) {
  for (const auto& name : names) {
    const auto found = std::find_if(tensors.begin(), tensors.end(),
                                    [&](const NamedTensor& t) { return t.name == name; });
    GAMUT_CHECK(found != tensors.end(), "nothing to remove: ", name);
    tensors.erase(found);
  }
}

void expect_same(const std::optional<NamedTensors>& got, const Mixer& mixer) {
  ASSERT_TRUE(got);
  EXPECT_EQ(got->size(), mixer.parameters().size());
  for (const auto& p : mixer.parameters()) {
    EXPECT_TRUE(at::equal(named(*got, p.name), p.tensor)) << p.name;
  }
}

TEST(GdnLayouts, RenamedWeightsLoad) {
  auto mixer = test::make_mixer("gdn", {{"d_model", int64_t{32}}, {"n_heads", int64_t{2}}});
  for (const auto& [project, renaming] : renamings()) {
    SCOPED_TRACE(project);
    auto given = own_weights(*mixer);
    for (const auto& [foreign, own] : renaming) {
      for (auto& t : given) {
        if (t.name == own) t.name = foreign;
      }
    }
    // Convolutions are kept with and without their dimension of one.
    for (auto& t : given) {
      if (project == "golf" && t.tensor.dim() == 3) t.tensor = t.tensor.squeeze(1);
    }
    expect_same(import_of(*mixer).import_weights(given), *mixer);
  }
}

TEST(GdnLayouts, FusedWeightsLoad) {
  auto mixer = test::make_mixer(
      "gdn", {{"d_model", int64_t{32}}, {"n_heads", int64_t{2}}, {"n_v_heads", int64_t{4}}});
  auto olmo = own_weights(*mixer);
  const std::vector<std::string> convs = {"q_conv1d.weight", "k_conv1d.weight", "v_conv1d.weight"};
  remove(olmo, convs);
  olmo.push_back({"conv1d.weight", rows_of(*mixer, convs)});
  expect_same(import_of(*mixer).import_weights(olmo), *mixer);

  const std::vector<std::string> qkv = {"q_proj.weight", "k_proj.weight", "v_proj.weight"};
  const NamedTensors qwen3_5 = {{"in_proj_qkv.weight", rows_of(*mixer, qkv)},
                                {"in_proj_z.weight", test::parameter(*mixer, "g_proj.weight")},
                                {"in_proj_a.weight", test::parameter(*mixer, "a_proj.weight")},
                                {"in_proj_b.weight", test::parameter(*mixer, "b_proj.weight")},
                                {"conv1d.weight", rows_of(*mixer, convs)},
                                {"A_log", test::parameter(*mixer, "A_log")},
                                {"dt_bias", test::parameter(*mixer, "dt_bias")},
                                {"norm.weight", test::parameter(*mixer, "o_norm.weight")},
                                {"out_proj.weight", test::parameter(*mixer, "o_proj.weight")}};
  expect_same(import_of(*mixer).import_weights(qwen3_5), *mixer);
}

TEST(GdnLayouts, ItsOwnNamesAreLeftToTheLoader) {
  auto mixer = test::make_mixer("gdn", {{"d_model", int64_t{32}}, {"n_heads", int64_t{2}}});
  auto given = own_weights(*mixer);
  EXPECT_FALSE(import_of(*mixer).import_weights(given));
  given.resize(4);
  EXPECT_FALSE(import_of(*mixer).import_weights(given));
  EXPECT_FALSE(import_of(*mixer).import_weights({{"stray", at::zeros({1})}}));
}

TEST(GdnLayouts, WhatDoesNotFitIsNamed) {
  const Fixture f("layer_gdn_qwen3next", at::kFloat);
  auto mixer = test::make_mixer("gdn", qwen_options());
  const auto refusal = [&](Mixer& into, const NamedTensors& given) -> std::string {
    try {
      import_of(into).import_weights(given);
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  using testing::AllOf;
  using testing::HasSubstr;
  auto given = weights_of(f, kQwenNames);
  remove(given, {"in_proj_ba.weight"});
  given.push_back({"conv1d.bias", at::zeros({4})});
  EXPECT_THAT(refusal(*mixer, given), AllOf(HasSubstr("transformers' Qwen3-Next"),
                                            HasSubstr("missing: `in_proj_ba.weight`"),
                                            HasSubstr("unexpected: `conv1d.bias`")));
  given = weights_of(f, kQwenNames);
  auto other = qwen_options();
  other["n_v_heads"] = int64_t{2};
  EXPECT_THAT(refusal(*test::make_mixer("gdn", other), given),
              HasSubstr("of another shape: `A_log` is [4] and should be [2]"));
  auto sigmoid = qwen_options();
  sigmoid["decay"] = "sigmoid";
  EXPECT_THAT(refusal(*test::make_mixer("gdn", sigmoid), given),
              HasSubstr("more than that layout has: `a_proj.bias`"));
}

}  // namespace
}  // namespace gamut
