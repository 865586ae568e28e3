// A few steps of the gated delta rule and of SSD by the CUDA kernel for decoding, emulated: against
// their definitions in float64.
#include <c10/core/GradMode.h>

#include "ops/gated_delta_rule/device.h"
#include "ops/gated_delta_rule/gated_delta_rule.h"
#include "ops/ssd/ssd.h"
#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;

struct Sizes {
  int64_t batch, time, heads, value_heads, d_k, d_v;
};

Tensor unit(const Tensor& x) {
  return x / x.norm(2, -1, true);
}

// Calls `op`, which must take one launch, and gives its results the same in any order of threads.
Tensors on_device(const std::function<Tensors()>& op) {
  const c10::NoGradGuard no_grad;
  const test::EmulatedDevice device;
  const auto before = cuda::emulation::work_done().launches;
  const auto results = op();
  EXPECT_EQ(cuda::emulation::work_done().launches, before + 1);
  EXPECT_EQ(cuda::emulation::order_dependence([&] { return test::bytes_of({op(), {}}); }, 1), "");
  return results;
}

void expect_close(const Tensors& got, const Tensors& expected, double tolerance) {
  EXPECT_CLOSE(got[0], expected[0], tolerance);
  EXPECT_EQ(got[1].scalar_type(), at::kFloat);
  EXPECT_CLOSE(got[1], expected[1], 5e-6) << "of the state";
}

void compare(const Sizes& s, at::ScalarType type, double tolerance, bool has_state = true,
             const std::optional<Tensor>& documents = {}) {
  SCOPED_TRACE(c10::str("d_k ", s.d_k, ", d_v ", s.d_v, ", ", s.time, " steps of ", type));
  const auto rows = [&](int64_t heads, int64_t d) {
    return at::randn({s.batch, s.time, heads, d});
  };
  const auto q = rows(s.heads, s.d_k).to(type), k = unit(rows(s.heads, s.d_k)).to(type);
  const auto v = rows(s.value_heads, s.d_v).to(type);
  const auto g = -at::rand({s.batch, s.time, s.value_heads}), beta = 2 * at::rand_like(g);
  std::optional<Tensor> state, wide_state;
  if (has_state) {
    const int64_t sequences = documents ? documents->numel() - 1 : s.batch;
    state = at::randn({sequences, s.value_heads, s.d_k, s.d_v});
    wide_state = state->to(at::kDouble);
  }
  const auto got = on_device([&]() -> Tensors {
    const auto [y, after] = gated_delta_rule(q, k, v, g, beta, 0.3, state, documents, 0);
    return {y, after};
  });
  const auto x = test::as_doubles({q, k, v, g, beta});
  const auto [y, after] =
      gated_delta_rule_reference(x[0], x[1], x[2], x[3], x[4], 0.3, wide_state, documents, 0);
  EXPECT_EQ(got[0].scalar_type(), type);
  expect_close(got, {y, after}, tolerance);
}

// One warp's rows and several, padded and not; columns in one block and two; heads shared.
TEST(DeltaRuleSteps, EqualTheDefinition) {
  at::manual_seed(1);
  for (const auto& [type, tolerance] : test::kDeviceTypes) {
    compare({2, 3, 1, 2, 16, 8}, type, 2 * tolerance);
    compare({1, 8, 1, 1, 42, 84}, type, 2 * tolerance);
  }
  compare({1, 1, 2, 4, 5, 33}, at::kFloat, 5e-6, /*has_state=*/false);
  compare({1, 2, 1, 1, 256, 40}, at::kFloat, 5e-6);
}

TEST(DeltaRuleSteps, TakeDocumentsOfUnlikeLength) {
  at::manual_seed(2);
  compare({1, 9, 1, 2, 20, 12}, at::kFloat, 5e-6, true,
          at::tensor({int64_t{0}, int64_t{1}, int64_t{7}, int64_t{9}}));
}

TEST(DeltaRuleSteps, LongerOnesAndThoseWithGradientsAreTakenByChunks) {
  const auto launches = [](int64_t time, bool recorded) {
    const auto q = unit(at::randn({1, time, 1, 16})).set_requires_grad(recorded);
    const auto g = at::zeros({1, time, 1});
    const test::EmulatedDevice device;
    const auto before = cuda::emulation::work_done().launches;
    gated_delta_rule(q, q, q, g, g, {}, {}, {}, 0);
    return cuda::emulation::work_done().launches - before;
  };
  EXPECT_EQ(launches(8, false), 1);
  EXPECT_GT(launches(9, false), 1);
  EXPECT_GT(launches(8, true), 1);
}

// Mamba-2's recurrence: no correction, states [d_v, d_k], and D v besides.
TEST(DeltaRuleSteps, AreThoseOfSSD) {
  at::manual_seed(3);
  for (const auto& [d_k, d_v] : {std::pair<int64_t, int64_t>{16, 8}, {40, 37}}) {
    const auto c = at::randn({2, 4, 1, d_k}), b = at::randn({2, 4, 1, d_k});
    const auto x = at::randn({2, 4, 2, d_v}), dt = at::rand({2, 4, 2}), a = -at::rand({2});
    const auto skip = at::randn({2}), state = at::randn({2, 2, d_v, d_k});
    const auto got = on_device([&]() -> Tensors {
      const DeltaRuleInput in{c, b, x, dt * a, dt, state, {}, 1};
      const auto [y, after] = delta_rule_on_device(in, DeviceRule::ssd, skip);
      return {y, after};
    });
    const auto w = test::as_doubles({x, dt, a, b, c, skip, state});
    const auto [y, after] =
        ssd_reference(w[0], w[1], w[2], w[3], w[4], w[5], {}, false, w[6], {}, 0);
    expect_close(got, {y, after}, 5e-6);
  }
}

}  // namespace
}  // namespace gamut::ops
