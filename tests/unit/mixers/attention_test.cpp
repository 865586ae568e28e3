// The parts of the attention mixer: pieces of masks, their attention, angles, caches.
#include <c10/core/GradMode.h>

#include <random>

#include "attention/attend.h"
#include "attention/kv_cache.h"
#include "attention/rope.h"
#include "attention/spans.h"
#include "plain_attention.h"
#include "support.h"

namespace gamut::attention {
namespace {

using at::Tensor;
using test::offsets;

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

// What causal_spans promises, key by key: [batch, time, cached + time].
Tensor seen_by(const Documents& documents, const std::vector<int64_t>& before, int64_t cached,
               int64_t window) {
  const int64_t time = documents.time();
  const auto seen = at::zeros({documents.batch(), time, cached + time}, at::kBool);
  for (int64_t i = 0; i < documents.size(); ++i) {
    const int64_t row = documents.row(i), begin = documents.begin(i) - row * time;
    const int64_t start = cached + begin - (documents.is_first(i) ? before[row] : 0);
    for (int64_t t = begin; t < documents.end(i) - row * time; ++t) {
      const int64_t last = cached + t;
      const int64_t first = window > 0 ? std::max(start, last - window + 1) : start;
      seen[row][t].narrow(0, first, last - first + 1).fill_(true);
    }
  }
  return seen;
}

struct Call {
  int64_t batch, time, cached, window;
  std::vector<int64_t> before;   // empty: zeros
  std::vector<int64_t> offsets;  // empty: not packed
};

// Long and short documents, empty and one-token ones, windows of 1, below and above the length,
// cached steps of equal and unequal rows.
std::vector<Call> calls() {
  std::vector<Call> result;
  for (const int64_t window : {0, 1, 5, 64, 300}) {
    result.push_back({2, 40, 0, window, {}, {}});
    result.push_back({1, 1, 0, window, {}, {}});
    result.push_back({1, 530, 0, window, {}, {}});
    result.push_back({2, 9, 33, window, {33, 33}, {}});
    result.push_back({2, 1, 50, window, {50, 50}, {}});
    result.push_back({2, 300, 50, window, {50, 3}, {}});
    result.push_back({3, 1, 20, window, {20, 0, 7}, {}});
    result.push_back({2, 100, 0, window, {}, {0, 1, 1, 2, 9, 40, 99, 100, 100, 180, 200}});
    result.push_back({1, 260, 0, window, {}, {0, 64, 65, 200, 260}});
    result.push_back({2, 90, 30, window, {30, 12}, {0, 7, 8, 90, 100, 180}});
  }
  return result;
}

TEST(Attend, EqualsItsDefinitionWithGradients) {
  at::manual_seed(1);
  for (const auto& c : calls()) {
    for (const auto& [heads, kv_heads] : {std::pair<int64_t, int64_t>{2, 2}, {4, 2}}) {
      SCOPED_TRACE(testing::Message()
                   << c.time << " steps, " << c.cached << " cached, window " << c.window << ", "
                   << c.offsets.size() << " offsets, heads " << heads << ":" << kv_heads);
      const Documents documents(c.offsets.empty() ? Tensor() : offsets(c.offsets), c.batch, c.time);
      const auto before = c.before.empty() ? std::vector<int64_t>(c.batch, 0) : c.before;
      const auto seen = seen_by(documents, before, c.cached, c.window);
      const int64_t keys = c.cached + c.time;
      const std::vector<Tensor> inputs = {at::randn({c.batch, heads, c.time, 8}, kDoubles),
                                          at::randn({c.batch, kv_heads, keys, 8}, kDoubles),
                                          at::randn({c.batch, kv_heads, keys, 8}, kDoubles)};
      const std::vector<Tensor> cotangent = {at::randn({c.batch, c.time, heads, 8}, kDoubles)};
      const auto expected = test::evaluate(
          [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
            return {plain_attention(x[0], x[1], x[2], seen, 0.4)};
          },
          inputs, cotangent);
      const auto spans = causal_spans(documents, before, c.cached, c.window);
      // Our own kernel, and what other devices and dropout use.
      for (const double dropout : {0.0, 1e-300}) {
        const auto got = test::evaluate(
            [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
              return {attend(x[0], x[1], x[2], spans, 0.4, dropout)};
            },
            inputs, cotangent);
        EXPECT_CLOSE(got.outputs[0], expected.outputs[0], 1e-12);
        for (size_t i = 0; i < 3; ++i) EXPECT_CLOSE(got.gradients[i], expected.gradients[i], 1e-11);
      }
    }
  }
}

TEST(Attend, IsPreciseInFloat32AndBfloat16) {
  at::manual_seed(2);
  const Documents documents(offsets({0, 100, 130, 700}), 1, 700);
  for (const int64_t window : {0, 50}) {
    const auto q = at::randn({1, 4, 700, 56}), k = at::randn({1, 2, 700, 56}),
               v = at::randn({1, 2, 700, 56});
    const auto seen = seen_by(documents, {0}, 0, window);
    for (const auto type : {at::kFloat, at::kBFloat16}) {
      const auto as = [&](const Tensor& x) { return x.to(type); };
      const std::vector<Tensor> inputs = {as(q), as(k), as(v)};
      const auto dy = at::randn({1, 700, 4, 56});
      const auto spans = causal_spans(documents, {0}, 0, window);
      const auto got = test::evaluate(
          [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
            return {attend(x[0], x[1], x[2], spans, 0.13, 0)};
          },
          inputs, {as(dy)});
      const auto exact = test::evaluate(
          [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
            return {plain_attention(x[0], x[1], x[2], seen, 0.13)};
          },
          {inputs[0].to(at::kDouble), inputs[1].to(at::kDouble), inputs[2].to(at::kDouble)},
          {as(dy).to(at::kDouble)});
      const double bound = type == at::kFloat ? 3e-6 : 2e-2;
      EXPECT_CLOSE(got.outputs[0], exact.outputs[0], bound);
      for (size_t i = 0; i < 3; ++i) EXPECT_CLOSE(got.gradients[i], exact.gradients[i], bound);
    }
  }
}

TEST(Attend, DropsWeightsOfTheSoftmax) {
  at::manual_seed(3);
  const Documents documents(Tensor(), 1, 40);
  const auto spans = causal_spans(documents, {0}, 0, 0);
  const auto q = at::zeros({1, 2, 40, 4}), v = at::ones({1, 2, 40, 4});
  // Weights of 1 / (t + 1) each, of which a part is left, doubled.
  const auto y = attend(q, q, v, spans, 1, 0.5) * at::arange(1, 41).view({1, 40, 1, 1}) / 2;
  EXPECT_CLOSE(y, y.round(), 1e-5);
  EXPECT_NEAR(y.narrow(1, 20, 20).sum().item<float>(),
              at::arange(21, 41).sum().item<float>() * 4 * 2 / 2, 400);
}

TEST(Angles, AreThoseOfTheEquation) {
  Rope rope;
  rope.pairs = RopePairs::half;
  rope.base = 100;
  rope.dim = 6;
  const auto positions = offsets({0, 1, 30});
  const auto angles = angles_of(positions, rope, at::kDouble, at::kCPU);
  for (int64_t t = 0; t < 3; ++t) {
    for (int64_t j = 0; j < 3; ++j) {
      const double turn = positions[t].item<double>() * std::pow(100.0, -2.0 * j / 6.0);
      EXPECT_NEAR(angles.cos[t][j].item<double>(), std::cos(turn), 1e-13);
      EXPECT_NEAR(angles.sin[t][j].item<double>(), std::sin(turn), 1e-13);
    }
  }
  rope.reverse = true;
  EXPECT_TRUE(at::equal(angles_of(positions, rope, at::kDouble, at::kCPU).sin, -angles.sin));
}

// The frequencies that a golf model has after its buffers became bfloat16: 1, 0.75, 0.5625, ...
TEST(Angles, RoundToBfloat16) {
  Rope rope;
  rope.pairs = RopePairs::half;
  rope.dim = 64;
  rope.bfloat16 = true;
  const auto angles = angles_of(offsets({1, 30001}), rope, at::kFloat, at::kCPU);
  const auto frequency = at::tensor({1.0, 0.75, 0.5625, 0.421875}, at::kFloat);
  const auto expected = (offsets({1, 30001}).unsqueeze(1) * frequency).cos();
  EXPECT_TRUE(at::equal(angles.cos.narrow(1, 0, 4), expected.to(at::kBFloat16).to(at::kFloat)));
}

TEST(Cache, GrowsInPlace) {
  const c10::NoGradGuard no_grad;
  at::manual_seed(4);
  const auto all = at::randn({2, 3, 500, 4});
  auto cache = at::empty({2, 3, 0, 4});
  int64_t buffers = 0;
  const void* last = nullptr;
  for (int64_t t = 0; t < 500;) {
    const int64_t more = t == 0 ? 7 : 1;
    cache = append(cache, all.narrow(2, t, more));
    t += more;
    buffers += cache.storage().data() != last;
    last = cache.storage().data();
    ASSERT_TRUE(at::equal(cache, all.narrow(2, 0, t)));
  }
  EXPECT_LE(buffers, 6);
}

TEST(Cache, NeverWritesOverTheEndOfARow) {
  const c10::NoGradGuard no_grad;
  const auto buffer = at::zeros({2, 2, 10, 3});
  const auto end = buffer.narrow(2, 6, 4);  // a view that ends where its row ends
  const auto grown = append(end, at::ones({2, 2, 1, 3}));
  EXPECT_EQ(buffer.sum().item<float>(), 0.f);
  EXPECT_EQ(grown.size(2), 5);
  const auto middle = append(buffer.narrow(2, 2, 4), at::ones({2, 2, 4, 3}));
  EXPECT_EQ(buffer.narrow(2, 6, 4).sum().item<float>(), 2 * 2 * 4 * 3);
  EXPECT_TRUE(middle.is_alias_of(buffer));
}

// Pieces of every size into rings of every size: the last steps come back in order, step s lies in
// slot s mod window, and a full ring is never allocated again for one step.
TEST(Cache, RingHoldsTheWindow) {
  const c10::NoGradGuard no_grad;
  at::manual_seed(5);
  const auto all = at::randn({2, 1, 200, 2});
  std::mt19937 random(1);
  for (const int64_t window : {1, 2, 7, 64, 150}) {
    for (const int64_t most : {1, 5, 90}) {
      auto ring = at::empty({2, 1, 0, 2});
      int64_t written = 0;
      while (written < 200) {
        const int64_t more = std::min<int64_t>(1 + random() % most, 200 - written);
        const bool in_place = more == 1 && ring.size(2) == window;
        const void* const lay = ring.storage().data();
        ring = write(ring, all.narrow(2, written, more), written, window);
        ASSERT_TRUE(!in_place || ring.storage().data() == lay);
        written += more;
        const int64_t held = std::min(written, window);
        ASSERT_EQ(ring.size(2), held);
        for (const int64_t count : {held, held / 2, int64_t{1}}) {
          ASSERT_TRUE(at::equal(latest(ring, written, window, count),
                                all.narrow(2, written - count, count)));
        }
        if (held == window) {
          const int64_t step = written - 1 - random() % window;
          ASSERT_TRUE(at::equal(ring.select(2, step % window), all.select(2, step)));
        }
      }
    }
  }
}

}  // namespace
}  // namespace gamut::attention
