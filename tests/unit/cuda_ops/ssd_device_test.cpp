// gamut::ssd by its CUDA kernels, emulated: outputs and gradients against the recurrence in
// float64.
#include "ops/ssd/ssd.h"

#include "support.h"

namespace gamut::ops {
namespace {

using at::Tensor;
using test::offsets;

struct Sizes {
  int64_t batch, time, heads, head_dim, groups, d_state;
};

// x, dt, A, B, C, D, dt_bias, initial state; x, B and C in `type`.
std::vector<Tensor> random_inputs(const Sizes& s, int64_t documents, at::ScalarType type) {
  return {at::randn({s.batch, s.time, s.heads, s.head_dim}).to(type),
          at::randn({s.batch, s.time, s.heads}),
          -at::rand({s.heads}) * 2,
          at::randn({s.batch, s.time, s.groups, s.d_state}).to(type),
          at::randn({s.batch, s.time, s.groups, s.d_state}).to(type),
          at::randn({s.heads}),
          at::randn({s.heads}),
          at::randn({documents, s.heads, s.head_dim, s.d_state})};
}

using Operator = decltype(&ssd);

test::Function with(Operator op, const std::optional<Tensor>& cu_seqlens = {}) {
  return [=](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    const auto get = [&](size_t i) {
      return i < in.size() ? std::optional<Tensor>(in[i]) : std::nullopt;
    };
    const auto [y, state] =
        op(in[0], in[1], in[2], in[3], in[4], get(5), get(6), true, get(7), cu_seqlens, 0);
    return {y, state};
  };
}

void compare(const std::vector<Tensor>& inputs, double tolerance,
             const std::optional<Tensor>& cu_seqlens = {}) {
  std::vector<Tensor> cotangents;
  test::Evaluated got;
  {
    const test::EmulatedDevice device;
    for (const auto& y : with(ssd, cu_seqlens)(inputs)) cotangents.push_back(at::randn_like(y));
    got = test::evaluate(with(ssd, cu_seqlens), inputs, cotangents);
    EXPECT_TRUE(device.was_used());
  }
  const auto expected = test::evaluate(with(ssd_reference, cu_seqlens), test::as_doubles(inputs),
                                       test::as_doubles(cotangents));
  for (size_t i = 0; i < got.outputs.size(); ++i) {
    EXPECT_CLOSE(got.outputs[i], expected.outputs[i], tolerance) << "of output " << i;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(got.gradients[i].scalar_type(), inputs[i].scalar_type()) << i;
    EXPECT_CLOSE(got.gradients[i], expected.gradients[i], tolerance) << "of input " << i;
  }
}

// Groups that many heads share, more than blocks take at once; head sizes that are padded.
TEST(SsdOnDevice, EqualsTheRecurrence) {
  at::manual_seed(1);
  for (const auto& s : std::vector<Sizes>{{2, 37, 3, 5, 1, 7},
                                          {1, 70, 4, 16, 2, 32},
                                          {1, 40, 24, 8, 1, 16},
                                          {1, 40, 2, 64, 1, 128}}) {
    SCOPED_TRACE(testing::Message() << "heads " << s.heads << ", head_dim " << s.head_dim);
    compare(random_inputs(s, s.batch, at::kFloat), 2e-5);
    compare(random_inputs(s, s.batch, at::kBFloat16), 1.5e-2);
  }
}

TEST(SsdOnDevice, KeepsDocumentsApart) {
  at::manual_seed(2);
  const Sizes s{2, 50, 2, 8, 1, 16};
  const auto cuts = offsets({0, 1, 17, 50, 83, 100});
  compare(random_inputs(s, 5, at::kFloat), 2e-5, cuts);
}

// Without skip, bias and initial state.
TEST(SsdOnDevice, TakesWhatIsAbsent) {
  at::manual_seed(3);
  auto inputs = random_inputs({1, 40, 2, 8, 1, 8}, 1, at::kHalf);
  inputs.resize(5);
  compare(inputs, 3e-3);
}

TEST(SsdOnDevice, NoOrderOfThreadsChangesABit) {
  at::manual_seed(4);
  const auto inputs = random_inputs({1, 40, 6, 16, 1, 32}, 1, at::kBFloat16);
  const test::EmulatedDevice device;
  std::vector<Tensor> cotangents;
  for (const auto& y : with(ssd)(inputs)) cotangents.push_back(at::randn_like(y));
  EXPECT_EQ(cuda::emulation::order_dependence(
                [&] { return test::bytes_of(test::evaluate(with(ssd), inputs, cotangents)); }, 2),
            "");
}

TEST(SsdOnDevice, RefusesSecondDerivatives) {
  at::manual_seed(5);
  auto inputs = random_inputs({1, 5, 1, 2, 1, 2}, 1, at::kFloat);
  const test::EmulatedDevice device;
  inputs[0].set_requires_grad(true);
  const auto loss = with(ssd)(inputs)[0].sum();
  EXPECT_THAT(
      [&] { loss.backward({}, /*retain_graph=*/true, /*create_graph=*/true); },
      testing::ThrowsMessage<std::exception>(testing::HasSubstr("ssd has no second derivative")));
}

}  // namespace
}  // namespace gamut::ops
