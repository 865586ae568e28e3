// The mixer against the oracle: values, gradients, states at any split, documents; every way of
// aggregating, cutting and carrying over, around every mixer that opens its recurrence.
#include "oracle.h"

#include <functional>

namespace gamut::test {
namespace {

std::vector<Variant> all_variants() {
  auto list = variants();
  for (const char* aggregation : {"gated_residual", "sparse"}) {
    Variant v;
    v.aggregation = aggregation;
    v.score = "query";
    list.push_back(v);
  }
  Variant last_two;
  last_two.max_segments = 2;
  list.push_back(last_two);
  return list;
}

class MemoryCacheOracle : public ::testing::TestWithParam<Inner> {
 protected:
  // Runs `body` with each variant around the inner mixer.
  void for_all(const std::function<void()>& body) {
    for (const auto& variant : all_variants()) {
      SCOPED_TRACE(variant.name());
      variant_ = variant;
      inner_ = make(GetParam().name, GetParam().options);
      mixer_ = make("memory_cache", wrapping(GetParam(), variant.options()));
      copy_parameters(*mixer_, *inner_);
      at::manual_seed(11);
      body();
    }
  }

  // Each row, or each document of a row, alone.
  Tensor expected(const Tensor& x) {
    std::vector<Tensor> rows;
    for (int64_t i = 0; i < x.size(0); ++i) {
      rows.push_back(oracle(variant_, *mixer_, *inner_, x.narrow(0, i, 1)));
    }
    return at::cat(rows, 0);
  }

  Variant variant_;
  std::unique_ptr<Mixer> mixer_, inner_;
};

TEST_P(MemoryCacheOracle, ValuesAndInputGradient) {
  for_all([&] {
    Tensor x = input(2, 33).requires_grad_(), w = at::randn_like(x);
    const auto y = forward(*mixer_, x);
    (y * w).sum().backward();
    const auto gradient = x.grad().clone();
    x.mutable_grad().reset();
    const auto e = expected(x);
    (e * w).sum().backward();
    EXPECT_LT(relative_error(y, e), 1e-12);
    EXPECT_LT(relative_error(gradient, x.grad()), 1e-11);
  });
}

TEST_P(MemoryCacheOracle, StateAtAnySplit) {
  for_all([&] {
    const c10::NoGradGuard no_grad;
    const auto x = input(2, 23), y = expected(x);
    for (const auto& cuts :
         {std::vector<int64_t>{0, 7, 8, 10, 23}, {0, 5, 15, 23}, {0, 21, 22, 23}}) {
      State state = mixer_->new_state(2);
      for (size_t i = 0; i + 1 < cuts.size(); ++i) {
        const auto part = forward(*mixer_, x.slice(1, cuts[i], cuts[i + 1]), &state);
        EXPECT_LT(relative_error(part, y.slice(1, cuts[i], cuts[i + 1])), 1e-12)
            << "from " << cuts[i];
      }
      EXPECT_EQ(state.position, 23);
    }
  });
}

// Documents of other lengths than segments; the first of each row goes on from the state, at
// another place in its document than the other row's.
TEST_P(MemoryCacheOracle, DocumentsAcrossCalls) {
  for_all([&] {
    const c10::NoGradGuard no_grad;
    const auto x = input(2, 40);
    const auto first = x.slice(1, 0, 17), second = x.slice(1, 17, 40);
    State state = mixer_->new_state(2);
    // Row 0: 0..12, 12..17 which goes on to 17+8, 25..40. Row 1: 0..40 but for 17..18 alone.
    const auto a = forward(*mixer_, first, &state, at::tensor({0, 12, 17, 34}, at::kLong));
    const auto b = forward(*mixer_, second, &state, at::tensor({0, 8, 23, 24, 46}, at::kLong));
    const auto y = at::cat({a, b}, 1);
    const auto alone = [&](int64_t row, int64_t from, int64_t to) {
      const auto part = x.narrow(0, row, 1).slice(1, from, to);
      EXPECT_LT(relative_error(y.narrow(0, row, 1).slice(1, from, to), expected(part)), 1e-12)
          << "row " << row << " from " << from;
    };
    alone(0, 0, 12);
    alone(0, 12, 25);
    alone(0, 25, 40);
    alone(1, 0, 18);
    alone(1, 18, 40);
  });
}

INSTANTIATE_TEST_SUITE_P(All, MemoryCacheOracle, ::testing::ValuesIn(inners()),
                         [](const auto& info) { return std::string(info.param.label); });

}  // namespace
}  // namespace gamut::test
