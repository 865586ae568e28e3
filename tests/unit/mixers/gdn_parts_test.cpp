// The parts around the gated delta rule: short convolution, norms.
#include <ATen/Parallel.h>

#include "gdn/norms.h"
#include "gdn/short_conv.h"
#include "support.h"

namespace gamut::gdn {
namespace {

using at::Tensor;
using test::offsets;

const auto kDoubles = at::TensorOptions().dtype(at::kDouble);

// The definition, by LibTorch's own convolution.
Tensor padded_conv(const Tensor& x, const Tensor& weight, const Tensor& context) {
  const auto extended = at::cat({context, x}, 1).transpose(1, 2);
  return at::conv1d(extended, weight, {}, 1, at::IntArrayRef{0}, 1, weight.size(0)).transpose(1, 2);
}

TEST(ShortConv, EqualsConv1dWithGradients) {
  at::manual_seed(2);
  for (const auto& [batch, time, channels, width] :
       std::vector<std::tuple<int64_t, int64_t, int64_t, int64_t>>{
           {2, 150, 9, 4}, {1, 3, 5, 4}, {3, 1, 8, 4}, {2, 20, 7, 2}, {1, 70, 4, 7}}) {
    SCOPED_TRACE(testing::Message() << "time " << time << ", width " << width);
    const Documents documents({}, batch, time);
    const std::vector<Tensor> inputs = {at::randn({batch, time, channels}, kDoubles),
                                        at::randn({channels, 1, width}, kDoubles),
                                        at::randn({batch, width - 1, channels}, kDoubles)};
    const test::Function got = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      return {short_conv(x[0], x[1], x[2], documents)};
    };
    const test::Function expected = [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      return {padded_conv(x[0], x[1], x[2])};
    };
    const std::vector<Tensor> cotangent = {at::randn_like(inputs[0])};
    const auto a = test::evaluate(got, inputs, cotangent);
    const auto b = test::evaluate(expected, inputs, cotangent);
    EXPECT_CLOSE(a.outputs[0], b.outputs[0], 1e-13);
    for (size_t i = 0; i < 3; ++i) EXPECT_CLOSE(a.gradients[i], b.gradients[i], 1e-13);
    const auto no_context = short_conv(inputs[0], inputs[1], {}, documents);
    EXPECT_CLOSE(no_context, padded_conv(inputs[0], inputs[1], at::zeros_like(inputs[2])), 1e-13);
  }
}

TEST(ShortConv, KeepsDocumentsApart) {
  at::manual_seed(3);
  const Documents documents(offsets({0, 2, 3, 50, 51, 100}), 2, 50);
  const auto x = at::randn({2, 50, 6}, kDoubles), weight = at::randn({6, 1, 4}, kDoubles);
  const auto context = at::randn({2, 3, 6}, kDoubles);
  const auto y = short_conv(x, weight, context, documents).flatten(0, 1);
  const auto flat = x.flatten(0, 1);
  for (int64_t i = 0; i < documents.size(); ++i) {
    const auto part = flat.slice(0, documents.begin(i), documents.end(i)).unsqueeze(0);
    auto before = context.narrow(0, documents.row(i), 1);
    if (!documents.is_first(i)) before = at::zeros_like(before);
    EXPECT_CLOSE(y.slice(0, documents.begin(i), documents.end(i)),
                 padded_conv(part, weight, before)[0], 1e-13);
  }
  EXPECT_CLOSE(short_conv_composite(x, weight, context, documents).flatten(0, 1), y, 1e-13);
  EXPECT_CLOSE(short_conv_composite(x, weight, {}, documents), short_conv(x, weight, {}, documents),
               1e-13);
  const test::Function f = [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    return {short_conv(in[0], in[1], in[2], documents)};
  };
  test::expect_gradients(f, {x, weight, context});
}

TEST(ShortConv, ContextCarriesWhatTheNextCallNeeds) {
  at::manual_seed(4);
  const auto x = at::randn({2, 40, 5}, kDoubles), weight = at::randn({5, 1, 4}, kDoubles);
  const auto zeros = at::zeros({2, 3, 5}, kDoubles);
  const auto whole = padded_conv(x, weight, zeros);
  auto context = zeros;
  std::vector<Tensor> pieces;
  for (const auto& [from, to] : {std::pair(0, 1), {1, 3}, {3, 30}, {30, 40}}) {
    const Documents documents({}, 2, to - from);
    const auto part = x.slice(1, from, to);
    pieces.push_back(short_conv(part, weight, context, documents));
    context = next_conv_context(part, context, documents);
  }
  EXPECT_CLOSE(at::cat(pieces, 1), whole, 1e-13);
  EXPECT_TRUE(at::equal(context, x.slice(1, 37, 40)));
}

TEST(ShortConv, ContextHoldsTheLastDocumentOnly) {
  const auto x = at::ones({2, 10, 1}), before = at::full({2, 3, 1}, 5.0);
  const auto next = next_conv_context(x, before, Documents(offsets({0, 9, 10, 20}), 2, 10));
  EXPECT_TRUE(at::equal(next.flatten(1), at::tensor({0.f, 0.f, 1.f, 1.f, 1.f, 1.f}).view({2, 3})));
  const auto short_call = next_conv_context(x.narrow(1, 0, 2), before, Documents({}, 2, 2));
  EXPECT_TRUE(at::equal(short_call[0].flatten(), at::tensor({5.f, 1.f, 1.f})));
}

TEST(ShortConv, DoesNotDependOnTheNumberOfThreads) {
  at::manual_seed(5);
  const Documents documents({}, 1, 500);
  const std::vector<Tensor> inputs = {at::randn({1, 500, 33}), at::randn({33, 1, 4})};
  const test::Function f = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    return {short_conv(x[0], x[1], {}, documents)};
  };
  const std::vector<Tensor> cotangent = {at::randn({1, 500, 33})};
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = test::evaluate(f, inputs, cotangent);
  at::set_num_threads(std::max(threads, 2));
  const auto more = test::evaluate(f, inputs, cotangent);
  at::set_num_threads(threads);
  for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(at::equal(one.gradients[i], more.gradients[i])) << i;
}

TEST(Norms, EqualTheirDefinitionsWithGradients) {
  at::manual_seed(6);
  const std::vector<Tensor> inputs = {at::randn({2, 5, 3, 7}, kDoubles), at::randn({7}, kDoubles),
                                      at::randn({2, 5, 3, 7}, kDoubles)};
  const double eps = 0.1;  // large enough to matter
  const test::Function got = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    return {l2_normalize(x[0], eps), gated_rms_norm(x[0], x[1], x[2], eps),
            gated_rms_norm(x[0], x[1], {}, eps)};
  };
  const test::Function expected = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    const auto squares = x[0] * x[0];
    const auto normal = x[0] / (squares.mean({-1}, true) + eps).sqrt() * x[1];
    return {x[0] / (squares.sum({-1}, true) + eps).sqrt(), normal * at::silu(x[2]), normal};
  };
  const std::vector<Tensor> cotangents = {at::randn_like(inputs[0]), at::randn_like(inputs[0]),
                                          at::randn_like(inputs[0])};
  const auto a = test::evaluate(got, inputs, cotangents);
  const auto b = test::evaluate(expected, inputs, cotangents);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_CLOSE(a.outputs[i], b.outputs[i], 1e-13);
    EXPECT_CLOSE(a.gradients[i], b.gradients[i], 1e-13);
  }
}

}  // namespace
}  // namespace gamut::gdn
