// The variants of the gdn layer against their definitions, written out plainly in float64.
#include <c10/core/GradMode.h>

#include "support.h"

namespace gamut {
namespace {

using at::Tensor;

struct Heads {
  int64_t d_model, heads, value_heads, d_k, d_v;
};

// What a variant does differently, as in mixers' definitions.
struct Variant {
  std::string preset;
  Heads sizes;
  double norm_eps, scale, beta_factor;
  std::function<Tensor(const Tensor&, const Tensor&)> normalize;  // x, the norm's weight
};

Tensor by_root(const Tensor& x, const Tensor& /*weight*/) {
  return x / ((x * x).sum(-1, true) + 1e-6).sqrt();
}
Tensor by_clamp(const Tensor& x, const Tensor& /*weight*/) {
  return x / (x * x).sum(-1, true).sqrt().clamp_min(1e-6);
}
Tensor by_rms(const Tensor& x, const Tensor& weight) {
  return by_root(x / ((x * x).mean(-1, true) + 1e-5).sqrt() * weight, {});
}

std::vector<Variant> variants() {
  const Heads golf{64, 2, 2, 24, 48}, music{128, 2, 2, 64, 64};
  return {{"fla", golf, 1e-5, 1 / std::sqrt(24.0), 1, by_root},
          {"olmo", golf, 1e-5, 1 / std::sqrt(24.0), 2, by_root},
          {"golf", golf, 1.1920928955078125e-7, 1 / std::sqrt(24.0), 2, by_root},
          {"speech", golf, 1e-5, 1, 2, by_clamp},
          {"qwen3_next", {64, 1, 1, 128, 128}, 1e-6, 1 / std::sqrt(128.0), 1, by_root},
          {"music", music, 1e-5, 1, 1, by_rms}};
}

class Parameters {
 public:
  explicit Parameters(const Mixer& mixer) : mixer_(mixer) {}
  Tensor operator[](const std::string& name) const { return test::parameter(mixer_, name); }
  bool has(const std::string& name) const {
    for (const auto& p : mixer_.parameters()) {
      if (p.name == name) return true;
    }
    return false;
  }

 private:
  const Mixer& mixer_;
};

// y_t = sum_j w_j x_{t - 3 + j}, then silu; x as it is where there is no convolution.
Tensor convolved(const Tensor& x, const Parameters& p, const std::string& name) {
  if (!p.has(name)) return x;
  const auto weight = p[name];
  const auto padded = at::constant_pad_nd(x.transpose(1, 2), {weight.size(2) - 1, 0});
  return at::silu(at::conv1d(padded, weight, {}, 1, at::IntArrayRef{0}, 1, weight.size(0)))
      .transpose(1, 2);
}

// The layer step by step from its definition.
Tensor definition(const Variant& variant, const Parameters& p, const Tensor& x) {
  const auto& s = variant.sizes;
  const auto projected = [&](const std::string& name) {
    return at::linear(x, p[name + "_proj.weight"]);
  };
  const auto heads = [&](const std::string& name, int64_t n) {
    return convolved(projected(name), p, name + "_conv1d.weight").unflatten(2, {n, -1});
  };
  const auto norm_weight = [&](const std::string& name) {
    return p.has(name) ? p[name] : Tensor();
  };
  const auto q = variant.normalize(heads("q", s.heads), norm_weight("q_norm.weight"));
  const auto k = variant.normalize(heads("k", s.heads), norm_weight("k_norm.weight"));
  const auto v = heads("v", s.value_heads);
  auto b = projected("b"), a = projected("a");
  if (p.has("b_proj.bias")) b = b + p["b_proj.bias"];
  const auto beta = variant.beta_factor * b.sigmoid();
  const auto g = p.has("A_log") ? -p["A_log"].exp() * at::softplus(a + p["dt_bias"])
                                : at::log_sigmoid(a + p["a_proj.bias"]);
  auto memory = at::zeros({x.size(0), s.value_heads, s.d_k, s.d_v}, x.options());
  std::vector<Tensor> reads;
  for (int64_t t = 0; t < x.size(1); ++t) {
    const auto key = k.select(1, t).unsqueeze(-1);
    memory = memory * g.select(1, t).exp().unsqueeze(-1).unsqueeze(-1);
    const auto error = v.select(1, t) - (memory * key).sum(2);
    memory = memory + key * (beta.select(1, t).unsqueeze(-1) * error).unsqueeze(2);
    reads.push_back(variant.scale * (memory * q.select(1, t).unsqueeze(-1)).sum(2));
  }
  auto o = at::stack(reads, 1);
  if (p.has("o_norm.weight")) {
    o = o / ((o * o).mean(-1, true) + variant.norm_eps).sqrt() * p["o_norm.weight"];
  }
  if (p.has("g_proj.weight")) o = o * at::silu(projected("g").view_as(o));
  return at::linear(o.flatten(2), p["o_proj.weight"]);
}

std::unique_ptr<Mixer> make(const Variant& variant) {
  OptionMap options = {{"preset", variant.preset},
                       {"d_model", variant.sizes.d_model},
                       {"n_heads", variant.sizes.heads}};
  if (variant.sizes.d_k == 24) options["head_dim"] = int64_t{24};
  auto mixer = test::make_mixer("gdn", options);
  test::convert(*mixer, at::kDouble);
  const c10::NoGradGuard no_grad;
  for (const auto& parameter : mixer->parameters()) {  // zeros, and weights of 0.02, hide mistakes
    auto tensor = parameter.tensor;
    tensor.add_(at::randn_like(tensor), 0.2);
  }
  return mixer;
}

TEST(GdnVariants, EqualTheirDefinitions) {
  at::manual_seed(20);
  for (const auto& variant : variants()) {
    SCOPED_TRACE(variant.preset);
    const auto mixer = make(variant);
    std::vector<Tensor> inputs = {at::randn({2, 19, variant.sizes.d_model}, at::kDouble)};
    const std::vector<Tensor> cotangents = {at::randn_like(inputs[0])};
    const test::Function got = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      return {test::forward(*mixer, x[0])};
    };
    const test::Function expected = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      return {definition(variant, Parameters(*mixer), x[0])};
    };
    const auto a = test::evaluate(got, inputs, cotangents);
    std::vector<Tensor> gradients;
    for (const auto& p : mixer->parameters()) gradients.push_back(p.tensor.grad().clone());
    for (const auto& p : mixer->parameters()) p.tensor.mutable_grad().reset();
    const auto b = test::evaluate(expected, inputs, cotangents);
    EXPECT_CLOSE(a.outputs[0], b.outputs[0], 1e-12);
    EXPECT_CLOSE(a.gradients[0], b.gradients[0], 1e-11);
    for (size_t i = 0; i < gradients.size(); ++i) {
      const auto& p = mixer->parameters()[i];
      EXPECT_LE(test::relative_error(gradients[i], p.tensor.grad()), 1e-10) << p.name;
    }
  }
}

TEST(GdnVariants, StartAsTheirStudiesDo) {
  const auto made = [](const char* preset, int64_t d_model, int64_t heads) {
    return test::make_mixer("gdn", {{"preset", preset}, {"d_model", d_model}, {"n_heads", heads}});
  };
  const auto golf = made("golf", 448, 8);
  EXPECT_EQ(test::parameter(*golf, "o_proj.weight").abs().max().item<float>(), 0);
  EXPECT_GE(test::parameter(*golf, "A_log").min().item<float>(), 0);  // A from 1 on
  const auto music = made("music", 1024, 16);
  EXPECT_EQ(test::parameter(*music, "a_proj.weight").abs().max().item<float>(), 0);
  EXPECT_EQ(test::parameter(*music, "b_proj.weight").abs().max().item<float>(), 0);
  EXPECT_EQ(test::parameter(*music, "b_proj.bias")[0].item<float>(), -2);
  EXPECT_EQ(test::parameter(*music, "a_proj.bias")[0].item<float>(), 4);
  const auto qwen = made("qwen3_next", 64, 2);
  EXPECT_CLOSE(test::parameter(*qwen, "dt_bias"), at::ones({2}), 1e-6);
  // Xavier uniform, and a residual projection times 1 / sqrt(2 * 8).
  const auto speech = made("speech", 384, 6);
  const double bound = std::sqrt(6.0 / (384 + 576)), largest = bound / 4;
  const auto out = test::parameter(*speech, "o_proj.weight").abs().max().item<double>();
  EXPECT_LE(out, largest * 1.0001);
  EXPECT_GE(out, largest * 0.99);
}

TEST(GdnVariants, GivenOptionsWinOverThePreset) {
  const auto mixer = test::make_mixer("gdn", {{"preset", "golf"},
                                              {"d_model", int64_t{64}},
                                              {"n_heads", int64_t{2}},
                                              {"out_init_scale", 1.0},
                                              {"use_gate", false}});
  EXPECT_GT(test::parameter(*mixer, "o_proj.weight").abs().max().item<float>(), 0);
  EXPECT_THROW(test::parameter(*mixer, "g_proj.weight"), Error);
}

}  // namespace
}  // namespace gamut
