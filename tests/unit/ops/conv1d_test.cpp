// Convolution over channels-last activations.
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <gamut/ops/conv1d.h>

#include "ops/conv1d/conv1d.h"
#include "ops/ops.h"
#include "ops/simd/isa.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;

struct Case {
  int64_t batch, steps, inputs, outputs, taps;
  int64_t stride = 1, dilation = 1, left = 0, right = 0;
  const char* activation = nullptr;
  bool bias = true, residual = false, tanh = false;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.batch << "x" << c.steps << " " << c.inputs << "->" << c.outputs << " taps "
             << c.taps << " stride " << c.stride << " dilation " << c.dilation << " padding "
             << c.left << "," << c.right << " " << (c.activation ? c.activation : "none");
}

// A layer and an input of it.
struct Given {
  Conv1d layer;
  Tensor x;
  Conv1dCall call;

  Given to(at::ScalarType type) const {
    const auto as = [&](const Tensor& t) { return t.defined() ? t.to(type) : t; };
    Given g = *this;
    g.layer.packed = as(layer.packed);
    g.layer.bias = as(layer.bias);
    g.x = as(x);
    g.call.alpha = as(call.alpha);
    g.call.residual = as(call.residual);
    return g;
  }
  Tensor run() const { return ops::conv1d(x, layer, call); }
};

Given random_case(const Case& c) {
  link_operators();
  Given g;
  const double scale = 1 / std::sqrt(static_cast<double>(c.inputs * c.taps));
  g.layer = pack_conv1d(at::randn({c.outputs, c.inputs, c.taps}) * scale,
                        c.bias ? at::randn({c.outputs}) : Tensor(), c.stride, c.dilation);
  g.x = at::randn({c.batch, c.steps, c.inputs});
  g.call.left = c.left;
  g.call.right = c.right;
  if (c.activation) g.call.activation = c.activation;
  if (g.call.activation == "snake") g.call.alpha = at::rand({c.inputs}) * 3 + 0.05;
  g.call.tanh = c.tanh;
  if (c.residual) g.call.residual = at::randn_like(g.run());
  return g;
}

const std::vector<Case> kCases = {
    {1, 1, 1, 1, 1},
    {1, 50, 1, 64, 7, 1, 1, 3, 3},
    {2, 131, 64, 64, 7, 1, 3, 9, 9, "snake", true, true},
    {1, 131, 64, 64, 7, 1, 9, 27, 27, "snake"},
    {1, 90, 64, 128, 4, 2, 1, 1, 1, "snake"},
    {3, 101, 24, 48, 10, 5, 1, 3, 3, "snake"},
    {1, 40, 512, 40, 3, 1, 1, 1, 1, "snake"},
    {1, 33, 512, 33, 2, 2, 1, 0, 0},
    {2, 29, 512, 33, 2, 1, 4, 2, 6, "elu"},
    {1, 200, 96, 1, 7, 1, 1, 3, 3, "snake", true, false, true},
    {2, 77, 32, 16, 3, 1, 1, 2, 0, "elu"},
    {2, 77, 16, 32, 1, 1, 1, 0, 0, "elu", true, true},
    {1, 19, 13, 35, 3, 1, 2, 0, 4, "elu", false, true},
    {1, 19, 13, 17, 3, 3, 2, 5, 1, "snake", false, true, true},
    {1, 8, 129, 31, 1},
    {4, 3, 300, 65, 2, 1, 1, 1, 1, "elu"},
    {1, 1, 5, 7, 9, 1, 1, 4, 4},
    {1, 2500, 3, 18, 3, 1, 1, 1, 1, "snake"},
};

TEST(Conv1d, EqualsTheDefinition) {
  at::manual_seed(50);
  for (const auto& c : kCases) {
    SCOPED_TRACE(testing::Message() << c);
    const auto g = random_case(c);
    const auto y = g.run();
    EXPECT_CLOSE(y, g.to(at::kDouble).run(), 2e-6);
    EXPECT_EQ(y.size(1),
              (c.steps + c.left + c.right - (c.taps - 1) * c.dilation - 1) / c.stride + 1);
  }
}

}  // namespace
}  // namespace gamut::ops
