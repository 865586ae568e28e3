// Inputs on which a gdn layer could give NaN, lose precision or mix what must stay apart.
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <gamut/recurrent.h>

#include "support.h"

namespace gamut {
namespace {

using at::Tensor;

OptionMap small(const std::string& preset) {
  return {{"preset", preset},
          {"d_model", int64_t{32}},
          {"n_heads", int64_t{2}},
          {"head_dim", int64_t{11}},
          {"expand_v", 1.0}};
}

// A layer whose output projection is not zero.
std::unique_ptr<Mixer> make(const OptionMap& options) {
  auto mixer = test::make_mixer("gdn", options);
  const c10::NoGradGuard no_grad;
  for (const auto& p : mixer->parameters()) {
    auto tensor = p.tensor;
    if (tensor.dim() > 1) tensor.add_(at::randn_like(tensor), 0.1);
  }
  return mixer;
}

void set(Mixer& mixer, const std::string& name, double value) {
  const c10::NoGradGuard no_grad;
  auto tensor = test::parameter(mixer, name);
  tensor.fill_(value);
}

// Every output and gradient of a loss is finite.
void expect_finite(Mixer& mixer, const Tensor& given, const std::string& what,
                   const Tensor& cu_seqlens = {}) {
  SCOPED_TRACE(what);
  const auto x = given.clone().set_requires_grad(true);
  const auto y = test::forward(mixer, x, nullptr, cu_seqlens);
  EXPECT_TRUE(at::isfinite(y).all().item<bool>());
  y.backward(at::randn_like(y));
  EXPECT_TRUE(at::isfinite(x.grad()).all().item<bool>());
  for (const auto& p : mixer.parameters()) {
    if (!p.tensor.grad().defined()) continue;
    EXPECT_TRUE(at::isfinite(p.tensor.grad()).all().item<bool>()) << p.name;
    p.tensor.mutable_grad().reset();
  }
}

TEST(GdnHardCases, FiniteInputsGiveFiniteResults) {
  at::manual_seed(40);
  for (const char* preset : {"golf", "speech"}) {
    auto mixer = make(small(preset));
    const auto x = at::randn({2, 70, 32});
    expect_finite(*mixer, at::zeros({1, 40, 32}), "queries and keys of length zero");
    expect_finite(*mixer, x * 1e4, "large inputs");
    expect_finite(*mixer, x * 1e-6, "small inputs");
    expect_finite(*mixer, x.slice(1, 0, 1), "one step");
    expect_finite(*mixer, x.slice(1, 0, 1).expand({2, 70, 32}), "the same key at every step");
    expect_finite(*mixer, x, "empty and one-token documents",
                  test::offsets({0, 1, 1, 2, 33, 70, 70, 71, 140}));
    set(*mixer, "dt_bias", 20);  // g near -20 and beyond, at every step
    expect_finite(*mixer, x, "strong decay");
    set(*mixer, "dt_bias", -200);
    expect_finite(*mixer, x, "no decay");
    set(*mixer, "b_proj.weight", 0);
    const auto b = test::parameter(*mixer, "b_proj.weight");
    const c10::NoGradGuard no_grad;
    b.select(1, 0).fill_(1e3);
    auto one = x.clone();
    one.select(2, 0).fill_(1);
    const at::AutoGradMode grad(true);
    expect_finite(*mixer, one, "beta at 2");
  }
}

// Documents and rows give what they give alone, in whatever company.
TEST(GdnHardCases, DocumentsAreWhatTheyAreAlone) {
  at::manual_seed(41);
  for (const char* preset : {"golf", "speech", "music"}) {
    auto mixer = make(small(preset));
    test::convert(*mixer, at::kDouble);
    const c10::NoGradGuard no_grad;
    const auto x = at::randn({2, 37, 32}, at::kDouble);
    const auto packed =
        test::forward(*mixer, x, nullptr, test::offsets({0, 1, 20, 20, 37, 73, 74}));
    const auto flat = x.flatten(0, 1), got = packed.flatten(0, 1);
    for (const auto& [from, to] : {std::pair(0, 1), {1, 20}, {20, 37}, {37, 73}, {73, 74}}) {
      const auto alone = test::forward(*mixer, flat.slice(0, from, to).unsqueeze(0));
      EXPECT_CLOSE(got.slice(0, from, to), alone[0], 1e-12) << preset << " from " << from;
    }
  }
}

TEST(GdnHardCases, LongSequencesAreReadPieceByPiece) {
  at::manual_seed(42);
  auto mixer = make(small("golf"));
  const c10::NoGradGuard no_grad;
  const int64_t time = 65536;
  const auto x = at::randn({1, time, 32});
  const auto whole = test::forward(*mixer, x);
  EXPECT_TRUE(at::isfinite(whole).all().item<bool>());
  auto state = mixer->new_state(1);
  test::forward(*mixer, x.slice(1, 0, time - 7), &state);
  const auto rest = test::forward(*mixer, x.slice(1, time - 7, time), &state);
  EXPECT_CLOSE(rest, whole.slice(1, time - 7, time), 1e-5);
}

// The error's length over the result's, the usual measure for bfloat16.
double length_error(const Tensor& got, const Tensor& expected) {
  const auto difference = got.to(at::kFloat) - expected;
  return (difference.norm() / expected.norm()).item<double>();
}

// Under autocast, decoding in float32 parameters and with all of them in bfloat16.
TEST(GdnHardCases, LowPrecisionStaysClose) {
  at::manual_seed(43);
  auto mixer = make({{"d_model", int64_t{64}}, {"n_heads", int64_t{2}}, {"preset", "golf"}});
  const auto x = at::randn({2, 90, 64});
  const c10::NoGradGuard no_grad;
  const auto exact = test::forward(*mixer, x);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  auto state = mixer->new_state(2);
  std::vector<Tensor> parts = {test::forward(*mixer, x.slice(1, 0, 60), &state)};
  for (int64_t t = 60; t < 90; ++t) {
    parts.push_back(test::forward(*mixer, x.slice(1, t, t + 1), &state));
  }
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_LE(length_error(at::cat(parts, 1), exact), 2e-2);
  EXPECT_EQ(state["recurrent"].scalar_type(), at::kFloat);
  // The golf study keeps convolutions in bfloat16 beside float32 projections.
  for (const auto& p : mixer->parameters()) {
    auto tensor = p.tensor;
    if (tensor.dim() == 3) tensor.set_data(tensor.detach().to(at::kBFloat16));
  }
  EXPECT_LE(length_error(test::forward(*mixer, x), exact), 1e-2);
  test::convert(*mixer, at::kBFloat16);
  const auto low = test::forward(*mixer, x.to(at::kBFloat16));
  EXPECT_EQ(low.scalar_type(), at::kBFloat16);
  EXPECT_LE(length_error(low, exact), 3e-2);
}

TEST(GdnHardCases, WideHeads) {
  at::manual_seed(44);
  for (const auto& [d_k, expand_v] : {std::pair(int64_t{256}, 1.0), {int64_t{200}, 1.25}}) {
    auto mixer = make({{"d_model", int64_t{48}},
                       {"n_heads", int64_t{1}},
                       {"n_v_heads", int64_t{2}},
                       {"head_dim", d_k},
                       {"expand_v", expand_v}});
    const auto x = at::randn({1, 70, 48});
    const c10::NoGradGuard no_grad;
    const auto y = test::forward(*mixer, x);
    test::convert(*mixer, at::kDouble);
    EXPECT_CLOSE(y, test::forward(*mixer, x.to(at::kDouble)), 1e-5);
  }
}

// A read of the memory that scan leaves, and one of several memories at once.
TEST(GdnHardCases, ReadsAnswerAsTheScanDoes) {
  at::manual_seed(45);
  auto mixer = make({{"d_model", int64_t{32}}, {"n_heads", int64_t{2}}, {"n_v_heads", int64_t{4}}});
  test::convert(*mixer, at::kDouble);
  auto& recurrent = *recurrent_of(*mixer);
  const c10::NoGradGuard no_grad;
  MixerContext context;
  auto features = recurrent.project(at::randn({3, 8, 32}, at::kDouble), context);
  const auto start = at::randn({3, 4, 12, 24}, at::kDouble);
  for (auto& f : features) {  // with no decay and no write, the scan only reads
    if (f.name == "g" || f.name == "beta") f.tensor = at::zeros_like(f.tensor);
  }
  const auto scanned = recurrent.scan(features, {start}, {});
  const auto other = at::randn_like(start);
  const auto read = recurrent.read(features, {at::stack({other, start}, 1)});
  EXPECT_EQ(read.sizes(), (std::vector<int64_t>{3, 8, 2, 4, 24}));
  EXPECT_CLOSE(read.select(2, 1), scanned.read, 1e-12);
  EXPECT_CLOSE(read.select(2, 0), recurrent.scan(features, {other}, {}).read, 1e-12);
  EXPECT_EQ(recurrent.queries(features).sizes(), recurrent.keys(features).sizes());
}

}  // namespace
}  // namespace gamut
