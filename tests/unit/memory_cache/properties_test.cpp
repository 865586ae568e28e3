// What must hold of memory_cache besides its equations: no future in the gates, known special
// cases, what options refuse.
#include "oracle.h"

namespace gamut::test {
namespace {

using ::testing::HasSubstr;

const Inner& inner_called(const std::string& label) {
  static const auto list = inners();
  for (const auto& inner : list) {
    if (inner.label == label) return inner;
  }
  throw Error("no inner mixer is called " + label);
}

std::unique_ptr<Mixer> cached(const std::string& inner, const Variant& variant,
                              const OptionMap& more = {}) {
  auto options = variant.options();
  options.insert(more.begin(), more.end());
  return make("memory_cache", wrapping(inner_called(inner), options));
}

Variant with_aggregation(const std::string& aggregation) {
  Variant v;
  v.aggregation = aggregation;
  return v;
}

Tensor values(Mixer& mixer, const Tensor& x) {
  const c10::NoGradGuard no_grad;
  return forward(mixer, x);
}

// Exactly zero: the online mean of a segment must be the running one.
TEST(MemoryCache, NoGradientReachesTheFuture) {
  for (const auto& variant : variants()) {
    for (const auto& inner : inners()) {
      auto mixer = cached(inner.label, variant);
      Tensor x = input(1, 18).requires_grad_();
      const auto y = forward(*mixer, x);
      for (const int64_t t : {0, 4, 5, 7, 11}) {
        const auto gradient = gradient_of(y.select(1, t).sum(), x);
        EXPECT_EQ(gradient.slice(1, t + 1).abs().max().item<double>(), 0)
            << variant.name() << " around " << inner.label << ", step " << t;
        EXPECT_GT(gradient.slice(1, 0, t + 1).abs().max().item<double>(), 0);
      }
    }
  }
}

TEST(MemoryCache, NoFutureInputChangesAnything) {
  for (const auto& variant : variants()) {
    auto mixer = cached("linear_attention", variant);
    const auto x = input(1, 18), y = values(*mixer, x);
    for (int64_t t = 0; t < 17; ++t) {
      auto changed = x.clone();
      changed.slice(1, t + 1).normal_(0, 5);
      EXPECT_LT(relative_error(values(*mixer, changed).slice(1, 0, t + 1), y.slice(1, 0, t + 1)),
                1e-14)
          << variant.name() << ", step " << t;
    }
  }
}

TEST(MemoryCache, SoupIsGatedResidualForMatrixMemories) {
  const auto x = input(2, 33);
  for (const auto& inner : inners()) {
    auto soup = cached(inner.label, with_aggregation("soup"));
    auto gated = cached(inner.label, with_aggregation("gated_residual"));
    const double error = relative_error(values(*soup, x), values(*gated, x));
    // Linear attention is read with a normaliser, which a soup averages as well.
    if (std::string(inner.label) == "linear_attention") {
      EXPECT_GT(error, 1e-3);
    } else {
      EXPECT_LT(error, 1e-12) << inner.label;
    }
  }
}

// Eq. 6-7 for a matrix memory: one matrix, the sum of all, gives the same read.
TEST(MemoryCache, ResidualCollapsesToOneMatrix) {
  const auto& inner = inner_called("gdn");
  auto bare = make(inner.name, inner.options);
  auto mixer = cached("gdn", with_aggregation("residual"));
  const c10::NoGradGuard no_grad;
  const auto x = input(1, 17);
  MixerContext context;
  auto& recurrent = *recurrent_of(*bare);
  const auto features = recurrent.project(x, context);
  Memory memory = memory_of(bare->new_state(1), recurrent.memory_names()), sum;
  for (int64_t t = 0; t < 17; t += 5) {
    NamedTensors part;
    for (const auto& f : features) part.push_back({f.name, f.tensor.slice(1, t, t + 5)});
    memory = recurrent.scan(part, memory, {}).memory;
    if (sum.empty()) sum = {at::zeros_like(memory[0])};
    sum[0] = sum[0] + memory[0];
  }
  NamedTensors last;
  for (const auto& f : features) last.push_back({f.name, f.tensor.narrow(1, 16, 1)});
  const auto read = recurrent.read(last, {sum[0].unsqueeze(1)}).select(2, 0);
  const auto expected = recurrent.finish(recurrent.normalize(read), last, context);
  EXPECT_LT(relative_error(values(*mixer, x).narrow(1, 16, 1), expected), 1e-12);
}

TEST(MemoryCache, SparseWithAllSegmentsIsGatedResidual) {
  const auto x = input(2, 33);
  auto all = with_aggregation("sparse"), few = all;
  all.top_k = 7;
  const auto gated = values(*cached("gdn", with_aggregation("gated_residual")), x);
  EXPECT_EQ(relative_error(values(*cached("gdn", all), x), gated), 0);
  EXPECT_GT(relative_error(values(*cached("gdn", few), x), gated), 1e-3);
}

TEST(MemoryCache, TheFirstSegmentIsTheBareMixer) {
  for (const auto& inner : inners()) {
    for (const char* aggregation : {"gated_residual", "residual"}) {
      const auto x = input(2, 5);
      auto bare = make(inner.name, inner.options);
      auto mixer = cached(inner.label, with_aggregation(aggregation));
      copy_parameters(*mixer, *bare);
      EXPECT_LT(relative_error(values(*mixer, x), values(*bare, x)), 1e-15) << inner.label;
    }
  }
}

TEST(MemoryCache, LogarithmicCachesAsManyAsTheLengthHasBinaryOnes) {
  Variant v;
  v.segments = "logarithmic";
  v.segment_size = 2;
  auto mixer = cached("gdn", v);
  const c10::NoGradGuard no_grad;
  State state = mixer->new_state(1);
  const int64_t ones[] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2};
  for (const int64_t expected : ones) {
    EXPECT_EQ(state["cache.recurrent"].size(1), expected);
    EXPECT_EQ(state["cache.means"].size(1), expected);
    forward(*mixer, input(1, 2), &state);
  }
}

// Cut at the cached memories, gradients reach earlier segments only through the carried one.
TEST(MemoryCache, StopGradientCutsTheCachedMemories) {
  Variant v = with_aggregation("residual");
  v.carry_over = "independent";
  const auto reached = [&](bool stop) {
    auto mixer = cached("linear_attention", v, {{"stop_gradient", OptionValue(stop)}});
    at::manual_seed(2);
    Tensor x = input(1, 10).requires_grad_();
    return gradient_of(forward(*mixer, x).slice(1, 5).sum(), x).slice(1, 0, 5).abs().max();
  };
  EXPECT_EQ(reached(true).item<double>(), 0);
  EXPECT_GT(reached(false).item<double>(), 1e-3);
}

// Adds W_u and nothing else, and the wrapped mixer's parameters keep their names.
TEST(MemoryCache, Parameters) {
  const auto& inner = inner_called("gdn");
  const auto names = [](const Mixer& mixer) {
    std::vector<std::string> list;
    for (const auto& p : mixer.parameters()) list.push_back(p.name);
    return list;
  };
  auto bare = names(*make(inner.name, inner.options));
  Variant by_query;
  by_query.score = "query";
  EXPECT_EQ(names(*cached("gdn", by_query)), bare);
  EXPECT_EQ(names(*cached("gdn", with_aggregation("residual"))), bare);
  bare.push_back("u_proj.weight");
  const auto learned = cached("gdn", Variant());
  EXPECT_EQ(names(*learned), bare);
  EXPECT_EQ(learned->parameters().back().tensor.sizes(), at::IntArrayRef({kWidth, kWidth}));
}

std::string refusal(OptionMap options) {
  try {
    make("memory_cache", std::move(options));
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(MemoryCache, RefusesWhatHasNoMeaning) {
  const Inner& gdn = inner_called("gdn");
  const auto with = [&](OptionMap options) { return refusal(wrapping(gdn, std::move(options))); };
  EXPECT_THAT(with({{"aggregation", text("sparse")}}), HasSubstr("give both or neither"));
  EXPECT_THAT(with({{"top_k", OptionValue(int64_t{2})}}), HasSubstr("give both or neither"));
  EXPECT_THAT(with({{"aggregation", text("residual")}, {"score", text("query")}}),
              HasSubstr("leave out score"));
  EXPECT_THAT(with({{"segments", text("logarithmic")}, {"max_segments", OptionValue(int64_t{2})}}),
              HasSubstr("max_segments limits constant segments"));
  EXPECT_THAT(refusal(wrapping({"", "gdn", {{"n_head", OptionValue(int64_t{2})}}}, {})),
              HasSubstr("unknown option `n_head` of mixer `gdn`; did you mean `n_heads`?"));
  EXPECT_THAT(refusal(wrapping({"", "gdn", {{"d_model", OptionValue(int64_t{2})}}}, {})),
              HasSubstr("mixer_options has d_model"));
  EXPECT_THAT(refusal(wrapping({"", "gdm", {}}, {})), HasSubstr("unknown mixer `gdm`"));
  EXPECT_THAT(refusal(wrapping({"", "attention", {}}, {})),
              HasSubstr("mixer `attention` has no memory that memory_cache could keep"));
}

}  // namespace
}  // namespace gamut::test
