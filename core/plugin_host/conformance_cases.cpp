// Hard cases of a mixer: odd lengths, empty documents and batches, large and zero inputs, narrow
// types, autocast, dropout, numbers of threads.
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>

#include "plugin_host/conformance_mixer.h"
#include "plugin_host/conformance_tools.h"

namespace gamut::host::conformance {
namespace {

constexpr double kBound = 1e-8;
constexpr int64_t kTime = 131;

// ---- lengths and documents

// A shorter sequence is the beginning of a longer one; lengths around the usual chunk sizes.
std::string odd_lengths(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const at::Tensor x = suite.input(2, kTime), whole = run(*mixer, x);
  double worst = 0;
  for (int64_t time : {1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129}) {
    State state = mixer->new_state(2);
    for (State* carried : {static_cast<State*>(nullptr), &state}) {
      const at::Tensor y = run(*mixer, steps(x, 0, time), carried);
      const double error = relative_error(y, steps(whole, 0, time));
      GAMUT_CHECK(error <= kBound, "the first ", time, " steps alone",
                  carried ? ", with a state," : "", " differ from those of a longer sequence",
                  figure(": relative error", error));
      worst = std::max(worst, error);
    }
  }
  return figure("relative error", worst);
}

std::string empty_documents(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const at::Tensor x = suite.input(2, 20);
  const at::Tensor plain = offsets({0, 1, 2, 13, 20, 39, 40});
  const at::Tensor padded = offsets({0, 0, 1, 2, 2, 2, 13, 20, 20, 39, 40, 40});
  State state = mixer->new_state(2), other = mixer->new_state(2);
  const at::Tensor expected = run(*mixer, x, &state, plain);
  expect_close(run(*mixer, x, nullptr, padded), expected, kBound, "documents of no steps");
  expect_close(run(*mixer, x, &other, padded), expected, kBound,
               "with a state, documents of no steps");
  const at::Tensor more = suite.input(2, 3);
  expect_close(run(*mixer, more, &other), run(*mixer, more, &state), kBound,
               "what follows documents of no steps");
  // Every step a document of its own: a row of the batch each.
  const at::Tensor ones = run(*mixer, x, nullptr, at::arange(41, at::kLong));
  return expect_close(ones, run(*mixer, x.reshape({40, 1, -1})).view_as(x), kBound,
                      "documents of one step");
}

// Two rows in pieces, each with the documents that begin inside it, and the last steps one by one.
std::string documents_in_pieces(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const int64_t time = 80;
  const at::Tensor x = suite.input(2, time);
  const std::vector<std::vector<int64_t>> starts = {{0, 5, 41, 66}, {0, 29, 30, 72}};
  std::vector<int64_t> all;
  for (int64_t row : {0, 1}) {
    for (int64_t start : starts[row]) all.push_back(row * time + start);
  }
  all.push_back(2 * time);
  const at::Tensor whole = run(*mixer, x, nullptr, offsets(all));

  std::vector<int64_t> cuts = {0, 17, 28, 51, 65, 71, 74};
  for (int64_t t = 75; t <= time; ++t) cuts.push_back(t);
  State state = mixer->new_state(2);
  std::vector<at::Tensor> pieces;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    const int64_t from = cuts[i], to = cuts[i + 1];
    std::vector<int64_t> inside;
    for (int64_t row : {0, 1}) {
      inside.push_back(row * (to - from));
      for (int64_t start : starts[row]) {
        if (start > from && start < to) inside.push_back(row * (to - from) + start - from);
      }
    }
    inside.push_back(2 * (to - from));
    pieces.push_back(run(*mixer, steps(x, from, to), &state, offsets(inside)));
  }
  return expect_close(at::cat(pieces, 1), whole, kBound, "packed documents in pieces and by steps");
}

std::string nothing_at_all(const MixerSuite& suite) {
  std::string answer;
  for (const auto& [batch, time] : {std::pair<int64_t, int64_t>{0, 5}, {2, 0}}) {
    auto mixer = suite.fresh();
    const at::Tensor x = suite.input(batch, time);
    const std::string what = batch == 0 ? "a batch of no rows" : "a row of no steps";
    try {
      run(*mixer, x);
      answer = "an empty result";
    } catch (const ForeignError& error) {
      throw Error(what + " gives an error that does not come from the plugin; return an empty " +
                  "result or throw gamut::Error: " + error.what());
    } catch (const Error& error) {
      answer = std::string("refused: ") + error.what();
    }  // other exceptions: LibTorch's, not a sentence of the plugin
  }
  return answer;
}

// ---- values

struct Outcome {
  at::Tensor y;
  std::vector<std::pair<std::string, at::Tensor>> gradients;
};

Outcome forward_and_backward(Mixer& mixer, const at::Tensor& x, bool training = false) {
  for (const auto& p : mixer.parameters()) at::Tensor(p.tensor).mutable_grad().reset();
  const at::Tensor leaf = x.detach().clone().requires_grad_();
  MixerContext context;
  context.training = training;
  const at::Tensor y = forward(mixer, leaf, context);
  const at::Tensor weights = at::arange(y.numel(), at::kDouble).sin_().view_as(y);
  (y * weights.to(y.scalar_type())).sum().backward();
  Outcome outcome = {y.detach(), {{"the input", leaf.grad()}}};
  for (const auto& p : mixer.parameters()) {
    if (p.tensor.grad().defined()) {
      outcome.gradients.emplace_back("parameter `" + p.name + "`", p.tensor.grad().clone());
    }
  }
  return outcome;
}

bool is_finite(const at::Tensor& x) {
  return at::isfinite(x).all().item<bool>();
}

void expect_finite(const Outcome& outcome, const std::string& input) {
  GAMUT_CHECK(is_finite(outcome.y), "NaN or infinity from ", input);
  for (const auto& [name, gradient] : outcome.gradients) {
    GAMUT_CHECK(is_finite(gradient), "the gradient of ", name, " is NaN or infinite with ", input);
  }
}

std::string finite_from_finite(const MixerSuite& suite) {
  auto mixer = suite.fresh(at::kFloat);
  const at::Tensor x = suite.input(2, 70, at::kFloat);
  expect_finite(forward_and_backward(*mixer, at::zeros_like(x)), "an input of zeros");
  at::Tensor some = x.clone();
  some.slice(1, 3, 40).zero_();
  expect_finite(forward_and_backward(*mixer, some), "zeros among the inputs");
  expect_finite(forward_and_backward(*mixer, x[0][0].expand_as(x)), "the same input at all steps");
  for (double scale : {1e-20, 1e-4, 100., 1e4}) {
    expect_finite(forward_and_backward(*mixer, x * scale), "inputs of size" + figure("", scale));
  }
  return "0, 1e-20 to 1e4, forward and backward";
}

// The same parameters and input, exactly representable in the narrow type, in it and in float64.
std::string runs_in_bfloat16(const MixerSuite& suite) {
  constexpr double kNarrowBound = 0.06, kGradientBound = 0.12;
  auto narrow = suite.fresh(at::kBFloat16), exact = suite.fresh(at::kBFloat16);
  convert(*exact, at::kDouble);
  const at::Tensor x = suite.input(2, 100, at::kBFloat16);
  const Outcome got = forward_and_backward(*narrow, x, /*training=*/true);
  const Outcome expected = forward_and_backward(*exact, x.to(at::kDouble));
  expect_finite(got, "an input of bfloat16");
  GAMUT_CHECK(got.y.scalar_type() == at::kBFloat16, "the output is ", got.y.scalar_type());
  const double of_output = error_by_length(got.y, expected.y);
  GAMUT_CHECK(of_output <= kNarrowBound, "bfloat16 against float64",
              figure(": relative error", of_output), figure(", bound", kNarrowBound));
  double worst = 0;
  for (size_t i = 0; i < got.gradients.size(); ++i) {
    const auto& [name, gradient] = got.gradients[i];
    const at::Tensor& reference = expected.gradients[i].second;
    const double least = 1e-3 * expected.gradients[0].second.norm().item<double>();
    const double error = error_by_length(gradient, reference, least);
    GAMUT_CHECK(error <= kGradientBound, "the gradient of ", name, " in bfloat16 against float64",
                figure(": relative error", error));
    worst = std::max(worst, error);
  }
  return figure("relative error", of_output) + figure(", of gradients", worst);
}

// Turns CPU autocast to bfloat16 on for a scope.
struct Autocast {
  Autocast() {
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
};

std::string runs_under_autocast(const MixerSuite& suite) {
  constexpr double kAutocastBound = 0.06;
  auto mixer = suite.fresh(at::kFloat);
  const at::Tensor x = suite.input(2, 70, at::kFloat);
  const Outcome expected = forward_and_backward(*mixer, x);
  Outcome got;
  at::Tensor first, second;
  {
    const Autocast autocast;
    got = forward_and_backward(*mixer, x);
    const c10::NoGradGuard no_grad;
    State state = mixer->new_state(2);
    MixerContext context;
    context.state = &state;
    first = forward(*mixer, steps(x, 0, 33), context);
    second = forward(*mixer, steps(x, 33, 70), context);
  }
  expect_finite(got, "autocast");
  GAMUT_CHECK(got.gradients.size() == expected.gradients.size(),
              "under autocast some parameters get no gradient");
  for (const auto& [name, gradient] : got.gradients) {
    GAMUT_CHECK(gradient.scalar_type() == at::kFloat, "under autocast the gradient of ", name,
                " is ", gradient.scalar_type());
  }
  const double pieces = error_by_length(at::cat({first, second}, 1), expected.y);
  GAMUT_CHECK(pieces <= kAutocastBound, "under autocast and with a state",
              figure(": relative error", pieces), figure(", bound", kAutocastBound));
  const double whole = error_by_length(got.y, expected.y);
  GAMUT_CHECK(whole <= kAutocastBound, "under autocast", figure(": relative error", whole),
              figure(", bound", kAutocastBound));
  return figure("relative error", whole);
}

// ---- dropout and threads

std::string dropout_only_in_training(const MixerSuite& suite) {
  auto plain = suite.fresh(at::kFloat);
  const MixerSuite dropping = {suite.with_dropout, suite.d_model, {}};
  auto mixer = dropping.fresh(at::kFloat);
  const at::Tensor x = suite.input(2, 60, at::kFloat);
  const at::Tensor expected = run(*plain, x);
  GAMUT_CHECK(same_bits(run(*mixer, x), expected), "dropout changes the output outside training");
  const at::Tensor first = forward_and_backward(*mixer, x, /*training=*/true).y;
  const at::Tensor second = forward_and_backward(*mixer, x, /*training=*/true).y;
  GAMUT_CHECK(!at::equal(first, expected), "dropout changes nothing in training");
  GAMUT_CHECK(!at::equal(first, second), "two calls in training drop the same");
  at::manual_seed(8);
  const at::Tensor seeded = forward_and_backward(*mixer, x, /*training=*/true).y;
  at::manual_seed(8);
  GAMUT_CHECK(same_bits(forward_and_backward(*mixer, x, /*training=*/true).y, seeded),
              "with the same seed, training drops something else");
  return "";
}

std::string training_alone_changes_nothing(const MixerSuite& suite) {
  auto mixer = suite.fresh(at::kFloat);
  const at::Tensor x = suite.input(2, 60, at::kFloat);
  GAMUT_CHECK(same_bits(forward_and_backward(*mixer, x, /*training=*/true).y,
                        forward_and_backward(*mixer, x).y),
              "without dropout, the output in training is another one");
  return "";
}

// Sets the number of threads for a scope.
class Threads {
 public:
  Threads() : before_(at::get_num_threads()) {}
  ~Threads() { at::set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

// Products of LibTorch's libraries may round otherwise with another number of threads.
std::string threads_change_nothing(const MixerSuite& suite) {
  constexpr double kThreadBound = 1e-5;
  const Threads restore;
  auto mixer = suite.fresh(at::kFloat);
  const at::Tensor x = suite.input(3, 150, at::kFloat);
  at::set_num_threads(1);
  const Outcome alone = forward_and_backward(*mixer, x);
  double worst = 0;
  for (int threads : {2, 3}) {
    at::set_num_threads(threads);
    const Outcome together = forward_and_backward(*mixer, x);
    expect_close(together.y, alone.y, kThreadBound, c10::str("on ", threads, " threads"));
    for (size_t i = 0; i < alone.gradients.size(); ++i) {
      const auto& [name, gradient] = together.gradients[i];
      const double error = relative_error(gradient, alone.gradients[i].second);
      GAMUT_CHECK(error <= 10 * kThreadBound, "the gradient of ", name, " on ", threads, " threads",
                  figure(" is another than on one: relative error", error));
      worst = std::max(worst, error);
    }
  }
  return figure("relative error", worst) + ", 1 to 3 threads";
}

}  // namespace

void check_hard_cases(const MixerSuite& suite, ConformanceReport& report) {
  auto check = [&](const char* name, std::string (*test)(const MixerSuite&)) {
    report.check(name, [&] {
      at::manual_seed(6);
      return test(suite);
    });
  };
  check("odd lengths", odd_lengths);
  check("documents: empty, one step", empty_documents);
  check("documents: in pieces, by steps", documents_in_pieces);
  check("empty batch", nothing_at_all);
  check("finite from finite", finite_from_finite);
  check("bfloat16", runs_in_bfloat16);
  check("autocast", runs_under_autocast);
  check("training without dropout", training_alone_changes_nothing);
  if (suite.with_dropout) check("dropout in training only", dropout_only_in_training);
  check("number of threads", threads_change_nothing);
}

}  // namespace gamut::host::conformance
