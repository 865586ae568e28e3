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

}  // namespace
}  // namespace gamut::ops
