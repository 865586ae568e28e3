// Attention: the causal core, rotary positions and the cache as parts, then the layer as a plugin.
#include <c10/core/GradMode.h>

#include "attention/causal.h"
#include "attention/kv_cache.h"
#include "attention/rope.h"
#include "support.h"

namespace gamut::attention {
namespace {

using at::Tensor;
using test::offsets;

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

// The definition, with the whole matrix of scores.
Tensor plain_attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t window,
                       double scale) {
  const int64_t repeat = q.size(1) / k.size(1), queries = q.size(2), keys = k.size(2);
  const auto kr = k.repeat_interleave(repeat, 1), vr = v.repeat_interleave(repeat, 1);
  const auto age = (at::arange(queries) + (keys - queries)).unsqueeze(1) - at::arange(keys);
  auto hidden = age < 0;
  if (window > 0) hidden = hidden.logical_or(age >= window);
  auto scores = at::matmul(q, kr.transpose(2, 3)) * scale;
  scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  return at::matmul(scores.softmax(-1), vr);
}

TEST(CausalAttention, EqualsItsDefinitionWithGradients) {
  at::manual_seed(1);
  struct Case {
    int64_t heads, kv_heads, queries, keys, window;
  };
  for (const auto& c : std::vector<Case>{{2, 2, 40, 40, 0},
                                         {4, 2, 33, 33, 0},
                                         {4, 1, 300, 300, 17},
                                         {2, 2, 600, 600, 300},
                                         {4, 2, 1, 50, 0},
                                         {4, 2, 1, 50, 8},
                                         {2, 1, 7, 50, 0},
                                         {2, 1, 300, 350, 33},
                                         {2, 2, 20, 20, 64},
                                         {2, 2, 9, 9, 1}}) {
    SCOPED_TRACE(testing::Message()
                 << c.queries << " queries, " << c.keys << " keys, window " << c.window);
    const std::vector<Tensor> inputs = {at::randn({2, c.heads, c.queries, 8}, kDoubles),
                                        at::randn({2, c.kv_heads, c.keys, 8}, kDoubles),
                                        at::randn({2, c.kv_heads, c.keys, 8}, kDoubles)};
    const auto with = [&](auto attention) -> test::Function {
      return [=](const std::vector<Tensor>& x) -> std::vector<Tensor> {
        return {attention(x[0], x[1], x[2], c.window, 0.4)};
      };
    };
    const std::vector<Tensor> cotangent = {at::randn_like(inputs[0])};
    const auto got = test::evaluate(with(causal_attention), inputs, cotangent);
    const auto expected = test::evaluate(with(plain_attention), inputs, cotangent);
    EXPECT_CLOSE(got.outputs[0], expected.outputs[0], 1e-12);
    for (size_t i = 0; i < 3; ++i) EXPECT_CLOSE(got.gradients[i], expected.gradients[i], 1e-12);
  }
}

Rope rope(RopePairs pairs, int64_t dim, bool reverse = false) {
  Rope r;
  r.pairs = pairs;
  r.base = 100;
  r.dim = dim;
  r.reverse = reverse;
  return r;
}

TEST(ApplyRope, TurnsEachPairByItsAngle) {
  at::manual_seed(2);
  const auto x = at::randn({1, 5, 2, 8}, kDoubles);
  const auto positions = offsets({0, 1, 2, 30, 4});
  const auto half = apply_rope(x, positions, rope(RopePairs::half, 6));
  const auto interleaved = apply_rope(x, positions, rope(RopePairs::interleaved, 6));
  const auto back = apply_rope(x, positions, rope(RopePairs::half, 6, true));
  for (int64_t t = 0; t < 5; ++t) {
    for (int64_t j = 0; j < 3; ++j) {
      const double angle = positions[t].item<int64_t>() * std::pow(100.0, -2.0 * j / 6.0);
      const auto check = [&](const Tensor& y, int64_t a, int64_t b, double turn) {
        const double u = x[0][t][1][a].item<double>(), w = x[0][t][1][b].item<double>();
        const double cos = std::cos(turn), sin = std::sin(turn);
        EXPECT_NEAR(y[0][t][1][a].item<double>(), u * cos - w * sin, 1e-12);
        EXPECT_NEAR(y[0][t][1][b].item<double>(), u * sin + w * cos, 1e-12);
      };
      check(half, j, j + 3, angle);
      check(interleaved, 2 * j, 2 * j + 1, angle);
      check(back, j, j + 3, -angle);
    }
  }
  EXPECT_TRUE(at::equal(half.narrow(3, 6, 2), x.narrow(3, 6, 2)));
}

TEST(ApplyRope, DiffersByRowsAndHasGradients) {
  at::manual_seed(3);
  const auto x = at::randn({2, 3, 1, 4}, kDoubles);
  const auto positions = at::stack({offsets({0, 1, 2}), offsets({7, 8, 9})});
  for (const auto pairs : {RopePairs::half, RopePairs::interleaved}) {
    const auto y = apply_rope(x, positions, rope(pairs, 4));
    EXPECT_CLOSE(y[1], apply_rope(x.narrow(0, 1, 1), positions[1], rope(pairs, 4))[0], 1e-14);
    test::expect_gradients(
        [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
          return {apply_rope(in[0], positions, rope(pairs, 4))};
        },
        {x});
  }
}

TEST(Append, GrowsInPlaceAndKeepsTheWindow) {
  const c10::NoGradGuard no_grad;
  at::manual_seed(4);
  const auto all = at::randn({2, 3, 500, 4});
  for (const int64_t window : {0, 20}) {
    auto cache = at::empty({2, 3, 0, 4});
    int64_t buffers = 0;
    const void* last = nullptr;
    for (int64_t t = 0; t < 500;) {
      const int64_t more = t == 0 ? 7 : 1;
      cache = append(cache, all.narrow(2, t, more), window);
      t += more;
      buffers += cache.storage().data() != last;
      last = cache.storage().data();
      const int64_t seen = window > 0 ? std::min(window, t) : t;
      ASSERT_GE(cache.size(2), seen);
      ASSERT_TRUE(
          at::equal(cache.narrow(2, cache.size(2) - seen, seen), all.narrow(2, t - seen, seen)));
    }
    EXPECT_LE(buffers, window > 0 ? 500 / window : 6);
    if (window > 0) {
      EXPECT_LE(cache.storage().nbytes(), 2 * 3 * 64 * 4 * sizeof(float));
    }
  }
}

TEST(Append, NeverWritesOverTheEndOfARow) {
  const c10::NoGradGuard no_grad;
  const auto buffer = at::zeros({2, 2, 10, 3});
  const auto end = buffer.narrow(2, 6, 4);  // a view that ends where its row ends
  const auto grown = append(end, at::ones({2, 2, 1, 3}), 0);
  EXPECT_EQ(buffer.sum().item<float>(), 0.f);
  EXPECT_EQ(grown.size(2), 5);
  const auto middle = append(buffer.narrow(2, 2, 4), at::ones({2, 2, 4, 3}), 0);
  EXPECT_EQ(buffer.narrow(2, 6, 4).sum().item<float>(), 2 * 2 * 4 * 3);
  EXPECT_TRUE(middle.is_alias_of(buffer));
}

// ---- the layer

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
  auto r = rope(RopePairs::half, 8);
  r.base = 10000;
  const auto steps = at::arange(20, at::kLong);
  auto q = apply_rope(rms(per_head(x, weight("q_proj.weight")), weight("q_norm.weight")), steps, r);
  q = q * weight("q_gain").view({4, 1});
  const auto k =
      apply_rope(rms(per_head(x, weight("k_proj.weight")), weight("k_norm.weight")), steps, r);
  const auto v = per_head(x, weight("v_proj.weight"));
  const auto y = plain_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), 0,
                                 1 / std::sqrt(8.0));
  EXPECT_CLOSE(test::forward(*mixer, x),
               at::linear(y.transpose(1, 2).flatten(2), weight("o_proj.weight")), 1e-12);
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
