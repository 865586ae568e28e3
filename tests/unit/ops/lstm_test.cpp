// LSTM with packed weights.
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include "ops/lstm/lstm.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;

std::vector<Tensor> as(const std::vector<Tensor>& tensors, at::ScalarType type) {
  std::vector<Tensor> converted;
  for (const auto& t : tensors) converted.push_back(t.to(type));
  return converted;
}

// Layers in torch's own form, four tensors each.
std::vector<Tensor> random_layers(int64_t inputs, int64_t hidden, int64_t layers) {
  std::vector<Tensor> weights;
  const double scale = 3 / std::sqrt(static_cast<double>(hidden));
  for (int64_t i = 0; i < layers; ++i) {
    weights.push_back(scale * (at::rand({4 * hidden, i == 0 ? inputs : hidden}) * 2 - 1));
    weights.push_back(scale * (at::rand({4 * hidden, hidden}) * 2 - 1));
    weights.push_back(at::randn({4 * hidden}));
    weights.push_back(at::randn({4 * hidden}));
  }
  return weights;
}

std::vector<Tensor> packed(const std::vector<Tensor>& layers) {
  std::vector<Tensor> all;
  for (size_t i = 0; i < layers.size(); i += 4) {
    for (auto& t : lstm_pack(layers[i], layers[i + 1], layers[i + 2], layers[i + 3])) {
      all.push_back(std::move(t));
    }
  }
  return all;
}

struct Case {
  int64_t batch, steps, inputs, hidden, layers;
};
const std::vector<Case> kCases = {{1, 1, 1, 1, 1},    {1, 9, 7, 5, 2},     {3, 20, 16, 16, 1},
                                  {2, 11, 40, 35, 3}, {8, 13, 24, 96, 2},  {1, 300, 4, 33, 2},
                                  {7, 5, 64, 300, 2}, {1, 40, 512, 512, 2}};

// LibTorch's own, in float64.
TEST(Lstm, EqualsTorch) {
  at::manual_seed(60);
  const c10::NoGradGuard no_grad;
  for (const auto& k : kCases) {
    SCOPED_TRACE(testing::Message() << k.batch << "x" << k.steps << " " << k.inputs << "->"
                                    << k.hidden << " layers " << k.layers);
    const auto weights = random_layers(k.inputs, k.hidden, k.layers);
    const auto weights64 = as(weights, at::kDouble);
    const auto x = at::randn({k.batch, k.steps, k.inputs});
    const auto h = at::randn({k.layers, k.batch, k.hidden}), c = at::randn_like(h);
    const auto [y, h1, c1] = lstm(x, packed(weights), h, c);
    const auto exact = at::lstm(x.to(at::kDouble), {h.to(at::kDouble), c.to(at::kDouble)},
                                weights64, /*has_biases=*/true, k.layers,
                                /*dropout=*/0, /*train=*/false, /*bidirectional=*/false,
                                /*batch_first=*/true);
    EXPECT_CLOSE(y, std::get<0>(exact), 2e-6);
    EXPECT_CLOSE(h1, std::get<1>(exact), 2e-6);
    EXPECT_CLOSE(c1, std::get<2>(exact), 2e-6);
    const auto [yd, hd, cd] =
        lstm(x.to(at::kDouble), packed(weights64), h.to(at::kDouble), c.to(at::kDouble));
    EXPECT_CLOSE(yd, std::get<0>(exact), 1e-13);
    EXPECT_CLOSE(hd, std::get<1>(exact), 1e-13);
    EXPECT_CLOSE(cd, std::get<2>(exact), 1e-13);
  }
}

TEST(Lstm, PiecesBatchesAndThreadsDoNotChangeBits) {
  at::manual_seed(61);
  const int threads = at::get_num_threads();
  for (const auto& k : kCases) {
    SCOPED_TRACE(testing::Message() << k.batch << "x" << k.steps << " hidden " << k.hidden);
    const auto weights = packed(random_layers(k.inputs, k.hidden, k.layers));
    const auto x = at::randn({k.batch, k.steps, k.inputs});
    at::set_num_threads(1);
    const auto [whole, h, c] = lstm(x, weights, {}, {});
    for (const int n : {2, 3}) {
      at::set_num_threads(n);
      EXPECT_TRUE(at::equal(std::get<0>(lstm(x, weights, {}, {})), whole)) << n << " threads";
    }
    for (int64_t b = 0; b < k.batch; ++b) {
      EXPECT_TRUE(
          at::equal(std::get<0>(lstm(x.narrow(0, b, 1), weights, {}, {})), whole.narrow(0, b, 1)))
          << "row " << b;
    }
    std::optional<Tensor> h_now, c_now;
    std::vector<Tensor> pieces;
    for (int64_t from = 0, size = 1; from < k.steps; from += size, ++size) {
      const auto piece = x.slice(1, from, std::min(from + size, k.steps));
      const auto [y, h_next, c_next] = lstm(piece, weights, h_now, c_now);
      pieces.push_back(y);
      h_now = h_next;
      c_now = c_next;
    }
    EXPECT_TRUE(at::equal(at::cat(pieces, 1), whole));
    EXPECT_TRUE(at::equal(*h_now, h));
    EXPECT_TRUE(at::equal(*c_now, c));
  }
  at::set_num_threads(threads);
}

// A caller that is a worker itself has one thread, and the recurrence must not wait for others.
TEST(Lstm, RunsInsideAParallelRegion) {
  const auto weights = packed(random_layers(64, 300, 1));
  const auto x = at::randn({1, 6, 64});
  const auto expected = std::get<0>(lstm(x, weights, {}, {}));
  std::vector<Tensor> results(4);
  at::parallel_for(0, 4, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) results[i] = std::get<0>(lstm(x, weights, {}, {}));
  });
  for (const auto& y : results) EXPECT_TRUE(at::equal(y, expected));
}

TEST(Lstm, NoStepsLeaveTheState) {
  const auto weights = packed(random_layers(3, 5, 2));
  const auto h = at::randn({2, 1, 5}), c = at::randn({2, 1, 5});
  const auto [y, h1, c1] = lstm(at::ones({1, 0, 3}), weights, h, c);
  EXPECT_EQ(y.sizes(), (std::vector<int64_t>{1, 0, 5}));
  EXPECT_TRUE(at::equal(h1, h) && at::equal(c1, c));
}

TEST(Lstm, SayWhatIsWrong) {
  const auto weights = packed(random_layers(3, 5, 2));
  const auto refusal = [](const std::function<void()>& run) -> std::string {
    try {
      run();
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  using testing::HasSubstr;
  const auto x = at::ones({1, 4, 3});
  EXPECT_THAT(refusal([&] { lstm(at::ones({1, 4, 2}), weights, {}, {}); }),
              HasSubstr("a layer takes 3 inputs, and is given 2"));
  EXPECT_THAT(refusal([&] { lstm(x, {weights[0]}, {}, {}); }), HasSubstr("three tensors a layer"));
  EXPECT_THAT(refusal([&] { lstm(x, weights, at::ones({1, 1, 5}), {}); }),
              HasSubstr("[layers, batch, H] = [2, 1, 5]"));
  EXPECT_THAT(refusal([&] { lstm(x.to(at::kDouble), weights, {}, {}); }),
              HasSubstr("convert one of them"));
  EXPECT_THAT(refusal([&] { lstm(x.clone().set_requires_grad(true), weights, {}, {}); }),
              HasSubstr("is for inference and has no gradients"));
  EXPECT_THAT(refusal([] { lstm_pack(at::ones({8, 3}), at::ones({8, 3}), {}, {}); }),
              HasSubstr("weight_hh must be [4 H, H]"));
  EXPECT_THAT(refusal([] { lstm_pack(at::ones({12, 3}), at::ones({8, 2}), {}, {}); }),
              HasSubstr("weight_ih must be [8, inputs]"));
}

}  // namespace
}  // namespace gamut::ops
