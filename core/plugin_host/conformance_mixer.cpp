// The contract of a mixer: causality, states, documents, rows, saving, errors, determinism.
//
// Values are compared in float64, where a sound mixer agrees to about 1e-12 however it is split.
#include <random>

#include "plugin_host/conformance.h"
#include "plugin_host/conformance_mixer.h"
#include "plugin_host/conformance_tools.h"

namespace gamut::host {
namespace conformance {

void convert(Mixer& mixer, at::ScalarType dtype) {
  const c10::NoGradGuard no_grad;
  for (const auto* list : {&mixer.parameters(), &mixer.buffers()}) {
    for (const auto& named : *list) {
      at::Tensor tensor = named.tensor;
      if (tensor.is_floating_point()) tensor.set_data(tensor.detach().to(dtype));
    }
  }
}

std::unique_ptr<Mixer> MixerSuite::fresh(at::ScalarType dtype) const {
  at::manual_seed(1);
  auto mixer = make();
  GAMUT_CHECK(mixer, "the maker returned no mixer");
  const c10::NoGradGuard no_grad;
  for (const auto& p : mixer->parameters()) {
    at::Tensor parameter = p.tensor;
    parameter.add_(at::randn(parameter.sizes(), at::kDouble).mul(0.1).to(parameter.scalar_type()));
  }
  convert(*mixer, dtype);
  return mixer;
}

at::Tensor MixerSuite::input(int64_t batch, int64_t time, at::ScalarType dtype) const {
  return at::randn({batch, time, d_model}, at::kDouble).to(dtype);
}

at::Tensor run(Mixer& mixer, const at::Tensor& x, State* state, const at::Tensor& cu_seqlens) {
  const c10::NoGradGuard no_grad;
  MixerContext context;
  context.state = state;
  context.cu_seqlens = cu_seqlens;
  const at::Tensor y = forward(mixer, x, context);
  GAMUT_CHECK(y.defined() && y.sizes() == x.sizes() && y.scalar_type() == x.scalar_type(),
              "forward of ", x.sizes(), " ", x.scalar_type(), " returns ",
              y.defined() ? c10::str(y.sizes(), " ", y.scalar_type()) : "nothing");
  return y;
}

}  // namespace conformance

namespace {

using namespace conformance;

constexpr double kBound = 1e-8;
constexpr int64_t kTime = 150;  // beyond the usual chunk sizes and no multiple of them

// ---- causality

std::string future_changes_nothing(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const at::Tensor x = suite.input(2, kTime), y = run(*mixer, x);
  double worst = 0;
  for (int64_t t :
       {int64_t{0}, int64_t{1}, int64_t{31}, int64_t{63}, int64_t{64}, int64_t{100}, kTime - 2}) {
    at::Tensor changed = x.clone();
    steps(changed, t + 1, kTime).copy_(suite.input(2, kTime - t - 1).mul(3));
    const double error = relative_error(steps(run(*mixer, changed), 0, t + 1), steps(y, 0, t + 1));
    GAMUT_CHECK(error <= kBound, "outputs up to step ", t, " change when later inputs do",
                figure(": by", error));
    worst = std::max(worst, error);
  }
  return figure("relative error", worst);
}

std::string no_gradient_to_future(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  double worst = 0;
  for (int64_t t : {int64_t{0}, int64_t{40}, int64_t{64}}) {
    at::Tensor x = suite.input(2, 90).requires_grad_();
    MixerContext context;
    const at::Tensor y = forward(*mixer, x, context).select(1, t);
    (y * at::randn_like(y)).sum().backward();
    GAMUT_CHECK(x.grad().defined(), "no gradient reaches the input");
    const double future = steps(x.grad(), t + 1, 90).abs().max().item<double>();
    const double past = steps(x.grad(), 0, t + 1).abs().max().item<double>();
    GAMUT_CHECK(future <= kBound * past, "output ", t, " has a gradient to later inputs",
                figure(":", future), figure(", to earlier ones", past));
    worst = std::max(worst, future);
  }
  return figure("largest", worst);
}

// ---- state

using Cuts = std::vector<int64_t>;  // from 0 to the end

at::Tensor in_pieces(Mixer& mixer, const at::Tensor& x, const Cuts& cuts) {
  State state = mixer.new_state(x.size(0));
  std::vector<at::Tensor> pieces;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    pieces.push_back(run(mixer, steps(x, cuts[i], cuts[i + 1]), &state));
    GAMUT_CHECK(state.position == cuts[i + 1], "state.position is ", state.position, " after ",
                cuts[i + 1], " steps");
  }
  return at::cat(pieces, 1);
}

Cuts random_cuts(int64_t time, int64_t pieces, std::mt19937& random) {
  Cuts cuts = {0, time};
  for (int64_t i = 1; i < pieces; ++i) cuts.push_back(1 + random() % (time - 1));
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  return cuts;
}

std::string pieces_equal_whole(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const at::Tensor x = suite.input(2, kTime), whole = run(*mixer, x);
  std::mt19937 random(1);
  double worst = relative_error(in_pieces(*mixer, x, {0, kTime}), whole);
  GAMUT_CHECK(worst <= kBound, "with a state, one call for all gives another result",
              figure(": relative error", worst));
  for (int64_t pieces : {2, 2, 3, 7}) {
    const Cuts cuts = random_cuts(kTime, pieces, random);
    const double error = relative_error(in_pieces(*mixer, x, cuts), whole);
    GAMUT_CHECK(error <= kBound, "split at ", c10::Join(", ", cuts),
                figure(": relative error", error));
    worst = std::max(worst, error);
  }
  return figure("relative error", worst);
}

std::string steps_equal_whole(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const int64_t time = 75;
  const at::Tensor x = suite.input(2, time), whole = run(*mixer, x);
  Cuts one_by_one, after_prefill = {0};
  for (int64_t t = 0; t <= time; ++t) one_by_one.push_back(t);
  for (int64_t t = 66; t <= time; ++t) after_prefill.push_back(t);
  expect_close(in_pieces(*mixer, x, after_prefill), whole, kBound, "66 steps, then one by one");
  return expect_close(in_pieces(*mixer, x, one_by_one), whole, kBound, "one step at a time");
}

// A snapshot of the state is all that another instance needs, and stays as it was.
std::string state_is_everything(const MixerSuite& suite) {
  auto first = suite.fresh(), second = suite.fresh();
  const at::Tensor x = suite.input(2, 40), whole = run(*first, x);
  State state = first->new_state(2);
  run(*first, steps(x, 0, 23), &state);
  const State snapshot = state.clone();
  const at::Tensor rest = run(*first, steps(x, 23, 40), &state);
  State carried = snapshot.clone();
  expect_close(run(*second, steps(x, 23, 40), &carried), rest, kBound,
               "another instance with the same parameters continues differently from the state");
  State again = snapshot.clone();
  run(*first, suite.input(2, 9), nullptr);
  return expect_close(run(*first, steps(x, 23, 40), &again), rest, kBound,
                      "continuing a second time from the same state gives another result");
}

std::string new_state_fits(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  for (int64_t batch : {1, 3}) {
    State state = mixer->new_state(batch);
    GAMUT_CHECK(state.position == 0, "a new state is at position ", state.position, ", not 0");
    std::vector<std::string> names;
    for (const auto& t : state.tensors) names.push_back(t.name);
    std::sort(names.begin(), names.end());
    GAMUT_CHECK(std::adjacent_find(names.begin(), names.end()) == names.end(),
                "two tensors of a state have the same name");
    run(*mixer, suite.input(batch, 5), &state);
  }
  State two = mixer->new_state(2);
  run(*mixer, suite.input(2, 5), &two);
  return expect_refusal("a state of 2 rows with an input of 3",
                        [&] { run(*mixer, suite.input(3, 5), &two); });
}

// ---- documents

at::Tensor alone(Mixer& mixer, const at::Tensor& x, int64_t row, int64_t from, int64_t to) {
  return run(mixer, steps(x.slice(0, row, row + 1), from, to));
}

std::string documents_do_not_leak(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const at::Tensor x = suite.input(2, 100);
  const std::vector<int64_t> ends = {0, 7, 8, 80, 100, 100 + 33, 200};
  const at::Tensor y = run(*mixer, x, nullptr, offsets(ends));
  double worst = 0;
  for (size_t i = 0; i + 1 < ends.size(); ++i) {
    const int64_t row = ends[i] / 100, from = ends[i] % 100, to = ends[i + 1] - row * 100;
    const double error =
        relative_error(steps(y.slice(0, row, row + 1), from, to), alone(*mixer, x, row, from, to));
    GAMUT_CHECK(error <= kBound, "the document at steps ", from, " to ", to, " of row ", row,
                " differs from the same document alone", figure(": relative error", error));
    worst = std::max(worst, error);
  }
  return figure("relative error", worst);
}

// Two rows in two calls: row 0 starts a document in the first call, row 1 in the second.
std::string documents_with_state(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const at::Tensor x = suite.input(2, 60);
  State state = mixer->new_state(2);
  const at::Tensor y = at::cat({run(*mixer, steps(x, 0, 33), &state, offsets({0, 25, 33, 66})),
                                run(*mixer, steps(x, 33, 60), &state, offsets({0, 27, 34, 54}))},
                               1);
  const at::Tensor expected =
      at::cat({at::cat({alone(*mixer, x, 0, 0, 25), alone(*mixer, x, 0, 25, 60)}, 1),
               at::cat({alone(*mixer, x, 1, 0, 40), alone(*mixer, x, 1, 40, 60)}, 1)});
  const at::Tensor more = suite.input(2, 1);
  const at::Tensor last = run(*mixer, more, &state);
  const at::Tensor continued = at::cat({steps(x[0].unsqueeze(0), 25, 60), more.slice(0, 0, 1)}, 1);
  expect_close(last.slice(0, 0, 1), steps(run(*mixer, continued), 35, 36), kBound,
               "the state after packed documents is not that of the last one");
  return expect_close(y, expected, kBound, "documents that cross a call");
}

// ---- the rest

std::string rows_are_independent(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const at::Tensor x = suite.input(3, 70), y = run(*mixer, x);
  double worst = 0;
  for (int64_t row = 0; row < 3; ++row) {
    const double error = relative_error(y.slice(0, row, row + 1), alone(*mixer, x, row, 0, 70));
    GAMUT_CHECK(error <= kBound, "row ", row, " alone gives another result than among 3",
                figure(": relative error", error));
    worst = std::max(worst, error);
  }
  return figure("relative error", worst);
}

std::string saved_and_loaded(const MixerSuite& suite) {
  auto saved = suite.fresh();
  at::manual_seed(2);
  auto loaded = suite.make();
  convert(*loaded, at::kDouble);
  const c10::NoGradGuard no_grad;
  int64_t count = 0;
  for (auto list : {&Module::parameters, &Module::buffers}) {
    const NamedTensors &from = ((*saved).*list)(), &to = ((*loaded).*list)();
    GAMUT_CHECK(from.size() == to.size(), "two instances have ", from.size(), " and ", to.size(),
                " tensors");
    for (size_t i = 0; i < from.size(); ++i) {
      GAMUT_CHECK(from[i].name == to[i].name, "names or order differ between instances: `",
                  from[i].name, "` and `", to[i].name, "`");
      at::Tensor target = to[i].tensor;
      target.copy_(from[i].tensor);
      ++count;
    }
  }
  const at::Tensor x = suite.input(2, 50);
  GAMUT_CHECK(
      same_bits(run(*saved, x), run(*loaded, x)),
      "an instance with the same parameters and buffers gives another result: a tensor that "
      "matters is not registered");
  return std::to_string(count) + " tensors";
}

std::string bad_input_is_refused(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const int64_t d = suite.d_model;
  auto refused = [&](const std::string& what, const at::Tensor& x) {
    return expect_refusal(what, [&] { run(*mixer, x); });
  };
  refused("an input of two dimensions", at::randn({5, d}, at::kDouble));
  refused("an input of four dimensions", at::randn({1, 2, 5, d}, at::kDouble));
  refused("a float32 input to float64 parameters", at::randn({2, 5, d}));
  return refused("an input one wider than d_model", at::randn({2, 5, d + 1}, at::kDouble));
}

std::string explicit_positions(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const at::Tensor x = suite.input(2, 40).transpose(0, 1).contiguous().transpose(0, 1);
  const at::Tensor before = x.clone();
  MixerContext context;
  context.positions = at::arange(40, at::kLong);
  const c10::NoGradGuard no_grad;
  const at::Tensor y = forward(*mixer, x, context);
  GAMUT_CHECK(same_bits(x, before), "forward writes into its input");
  return expect_close(y, run(*mixer, before), kBound,
                      "positions 0, 1, 2, ... given, on a strided input");
}

std::string repeats_bit_for_bit(const MixerSuite& suite) {
  auto first = suite.fresh(at::kFloat), second = suite.fresh(at::kFloat);
  const at::Tensor x = suite.input(2, kTime, at::kFloat), w = at::randn_like(x);
  std::vector<at::Tensor> results;
  for (Mixer* mixer : {first.get(), first.get(), second.get()}) {
    for (const auto& p : mixer->parameters()) at::Tensor(p.tensor).mutable_grad().reset();
    at::Tensor leaf = x.detach().clone().requires_grad_();
    MixerContext context;
    const at::Tensor y = forward(*mixer, leaf, context);
    (y * w).sum().backward();
    std::vector<at::Tensor> all = {y.detach().flatten(), leaf.grad().flatten()};
    for (const auto& p : mixer->parameters()) {
      if (p.tensor.grad().defined()) all.push_back(p.tensor.grad().flatten());
    }
    results.push_back(at::cat(all));
  }
  GAMUT_CHECK(same_bits(results[0], results[1]), "a second call with equal inputs differs");
  GAMUT_CHECK(same_bits(results[0], results[2]), "another instance of equal parameters differs");
  return "forward and backward";
}

std::string runs_in_float32(const MixerSuite& suite) {
  auto mixer = suite.fresh(at::kFloat), exact = suite.fresh(at::kFloat);
  convert(*exact, at::kDouble);
  const at::Tensor x = suite.input(2, 100, at::kFloat);
  return expect_close(run(*mixer, x), run(*exact, x.to(at::kDouble)), 1e-4, "against float64");
}

}  // namespace

void check_mixer(const MixerMaker& make, int64_t d_model, ConformanceReport& report,
                 const MixerMaker& with_dropout) {
  const MixerSuite suite{make, d_model, with_dropout};
  auto check = [&](const char* name, std::string (*test)(const MixerSuite&)) {
    report.check(name, [&] {
      at::manual_seed(3);
      return test(suite);
    });
  };
  bool made = false;
  report.check("construction", [&] {
    const auto mixer = suite.fresh();
    made = true;
    return std::to_string(mixer->parameters().size()) + " parameters, " +
           std::to_string(mixer->buffers().size()) + " buffers";
  });
  if (!made) return;
  check("causality: future inputs", future_changes_nothing);
  check("causality: gradients", no_gradient_to_future);
  check("state: pieces equal the whole", pieces_equal_whole);
  check("state: one step at a time", steps_equal_whole);
  check("state: holds all that is carried", state_is_everything);
  check("state: new_state", new_state_fits);
  check("documents do not leak", documents_do_not_leak);
  check("documents across calls", documents_with_state);
  check("rows are independent", rows_are_independent);
  check("save and load", saved_and_loaded);
  check("positions, strides, input kept", explicit_positions);
  check("bad shapes and types are refused", bad_input_is_refused);
  check("repeat runs are bit-identical", repeats_bit_for_bit);
  check("float32", runs_in_float32);
  check_hard_cases(suite, report);
  check_mixer_gradients(suite, report);
  check_encoder_memory(suite, report);
  check_recurrence(suite, report);
}

}  // namespace gamut::host
