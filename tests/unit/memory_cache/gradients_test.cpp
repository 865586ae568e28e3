// Reads that the backward pass computes again, reads of chosen memories alone, and dtypes.
#include <ATen/autocast_mode.h>

#include "oracle.h"

namespace gamut::test {
namespace {

// Many short segments, of which a step reads few: what was chosen is read in tiles.
Variant many_segments(int64_t top_k) {
  Variant v;
  v.aggregation = "sparse";
  v.segment_size = 2;
  v.top_k = top_k;
  return v;
}

struct Pair {
  std::unique_ptr<Mixer> mixer, inner;
};

Pair make_pair(const Inner& inner, const Variant& variant) {
  Pair pair{make("memory_cache", wrapping(inner, variant.options())),
            make(inner.name, inner.options)};
  copy_parameters(*pair.mixer, *pair.inner);
  at::manual_seed(11);
  return pair;
}

class MemoryCacheChosen : public ::testing::TestWithParam<Inner> {};

TEST_P(MemoryCacheChosen, ValuesAndInputGradient) {
  for (const int64_t last : {0, 20}) {
    auto variant = many_segments(1);
    variant.max_segments = last;
    if (last == 0) variant.carry_over = "independent";
    SCOPED_TRACE(variant.name());
    const auto [mixer, inner] = make_pair(GetParam(), variant);
    Tensor x = input(2, 45).requires_grad_(), w = at::randn_like(x);
    const auto y = forward(*mixer, x);
    (y * w).sum().backward();
    const auto gradient = x.grad().clone();
    x.mutable_grad().reset();
    const auto expected = at::cat({oracle(variant, *mixer, *inner, x.narrow(0, 0, 1)),
                                   oracle(variant, *mixer, *inner, x.narrow(0, 1, 1))});
    (expected * w).sum().backward();
    EXPECT_LT(relative_error(y, expected), 1e-12);
    EXPECT_LT(relative_error(gradient, x.grad()), 1e-11);
  }
}

TEST_P(MemoryCacheChosen, GoesOnFromAState) {
  const auto variant = many_segments(2);
  const auto [mixer, inner] = make_pair(GetParam(), variant);
  const c10::NoGradGuard no_grad;
  const auto x = input(1, 90), y = oracle(variant, *mixer, *inner, x);
  State state = mixer->new_state(1);
  for (const auto& [from, to] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 5}, {5, 86}, {86, 90}}) {
    const auto part = forward(*mixer, x.slice(1, from, to), &state);
    EXPECT_LT(relative_error(part, y.slice(1, from, to)), 1e-12) << "from " << from;
  }
}

INSTANTIATE_TEST_SUITE_P(All, MemoryCacheChosen, ::testing::ValuesIn(inners()),
                         [](const auto& info) { return std::string(info.param.label); });

// The graph of a result holds on to all that its backward pass calls.
TEST(MemoryCacheGradients, OutliveTheMixer) {
  for (const auto& inner : inners()) {
    Tensor x = input(1, 18).requires_grad_();
    Tensor kept;
    {
      auto pair = make_pair(inner, Variant());
      const auto e = oracle(Variant(), *pair.mixer, *pair.inner, x).sum();
      const auto expected = gradient_of(e, x);
      const auto y = forward(*pair.mixer, x).sum();
      pair.mixer.reset();
      kept = gradient_of(y, x);
      EXPECT_LT(relative_error(kept, expected), 1e-11) << inner.label;
    }
  }
}

TEST(MemoryCacheGradients, SecondOnesAreRefused) {
  const auto [mixer, inner] = make_pair(inners()[0], Variant());
  Tensor x = input(1, 18).requires_grad_();
  const auto y = forward(*mixer, x).sum();
  try {
    y.backward({}, /*retain_graph=*/true, /*create_graph=*/true);
    ADD_FAILURE() << "accepted";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("memory_cache has no second derivatives"));
  }
}

class Autocast {
 public:
  explicit Autocast(at::ScalarType dtype) {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, dtype);
  }
  ~Autocast() {
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
};

// In bfloat16, scan and read give the same dtype, and the whole is near to the float32 one. The
// backward pass is outside of the autocast, and computes again as the forward pass did.
TEST(MemoryCacheGradients, UnderAutocast) {
  for (const auto& inner : inners()) {
    for (const auto& variant : {Variant(), many_segments(2)}) {
      SCOPED_TRACE(std::string(inner.label) + " " + variant.name());
      const auto pair = make_pair(inner, variant);
      convert(*pair.mixer, at::kFloat);
      convert(*pair.inner, at::kFloat);
      Tensor x = input(1, 73).to(at::kFloat).requires_grad_();
      const auto y = forward(*pair.mixer, x);
      const auto gradient = gradient_of(y.square().sum(), x);
      Tensor rough;
      {
        const Autocast autocast(at::kBFloat16);
        rough = forward(*pair.mixer, x);
        auto& recurrent = *recurrent_of(*pair.inner);
        MixerContext context;
        const auto features = recurrent.project(x, context);
        const auto memory = memory_of(pair.inner->new_state(1), recurrent.memory_names());
        Memory stacked;
        for (const auto& m : memory) stacked.push_back(m.unsqueeze(1));
        EXPECT_EQ(recurrent.scan(features, memory, {}).read.scalar_type(),
                  recurrent.read(features, stacked).scalar_type());
      }
      const auto distance = [](const Tensor& a, const Tensor& b) {
        return ((a - b).norm() / b.norm()).item<double>();
      };
      // Bfloat16 scores may choose other segments here and there.
      const double tolerance = variant.aggregation == "sparse" ? 0.3 : 0.05;
      EXPECT_LT(distance(rough.to(at::kFloat), y), tolerance);
      EXPECT_LT(distance(gradient_of(rough.to(at::kFloat).square().sum(), x), gradient), tolerance);
    }
  }
}

}  // namespace
}  // namespace gamut::test
