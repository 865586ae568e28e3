// Mixers that read an encoder's output: the memory that the other checks give them, and checks of
// their own.
#include <gamut/encoder_memory.h>

#include "plugin_host/conformance_mixer.h"
#include "plugin_host/conformance_tools.h"

namespace gamut::host::conformance {
namespace {

constexpr double kBound = 1e-8;
constexpr int64_t kSteps = 11;  // of a memory

// Numbers without a pattern that take nothing from the generator.
at::Tensor memory_values(int64_t entries, int64_t channels, at::ScalarType dtype) {
  const auto count = at::arange(kSteps * channels, at::kDouble);
  const auto values = (count * count * 0.7 + count).sin().view({1, kSteps, channels});
  return values.to(dtype).expand({entries, -1, -1});
}

at::Tensor lengths_of(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}

at::Tensor read(Mixer& mixer, const at::Tensor& x, const EncoderMemory& memory,
                State* state = nullptr) {
  MixerContext context;
  context.state = state;
  return memory_reader_of(mixer)->forward_with_memory(x, memory, context);
}

EncoderMemory random_memory(Mixer& mixer, int64_t entries) {
  return {at::randn({entries, kSteps, memory_reader_of(mixer)->d_memory()}, at::kDouble), {}};
}

std::string memory_matters(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const at::Tensor x = suite.input(2, 9);
  const EncoderMemory memory = random_memory(*mixer, 2);
  const at::Tensor values = memory.values.clone().requires_grad_();
  const at::Tensor y = read(*mixer, x, {values, {}});
  y.square().sum().backward();
  GAMUT_CHECK(values.grad().defined(), "no gradient reaches the memory");
  const auto smallest = values.grad().abs().amax(2).min().item<double>();
  GAMUT_CHECK(smallest > 0, "a step of the memory has no gradient, though all of it is seen");
  const EncoderMemory swapped = {memory.values.flip(0), {}};
  expect_close(read(*mixer, x.flip(0), swapped).flip(0), y, kBound,
               "rows with their memories exchanged");
  return figure("least gradient of a step", smallest);
}

std::string lengths_hide_the_rest(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const c10::NoGradGuard no_grad;
  const at::Tensor x = suite.input(3, 9), lengths = lengths_of({4, 0, 11});
  EncoderMemory memory = random_memory(*mixer, 3);
  memory.lengths = lengths;
  const at::Tensor y = read(*mixer, x, memory);
  GAMUT_CHECK(at::isfinite(y).all().item<bool>(), "an empty memory gives NaN or infinity");
  const at::Tensor first =
      read(*mixer, x.slice(0, 0, 1), {memory.values.slice(0, 0, 1).slice(1, 0, 4), {}});
  expect_close(y.slice(0, 0, 1), first, kBound, "4 of 11 steps, against a memory of 4");
  memory.values = memory.values.clone();
  memory.values[0].slice(0, 4).mul_(-3);
  memory.values[1].mul_(-3);
  return expect_close(read(*mixer, x, memory), y, kBound, "steps beyond the length are read");
}

// A state keeps the memory: later calls may leave it out.
std::string state_keeps_the_memory(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const c10::NoGradGuard no_grad;
  const at::Tensor x = suite.input(2, 9);
  EncoderMemory memory = random_memory(*mixer, 2);
  memory.lengths = lengths_of({7, 11});
  const at::Tensor whole = read(*mixer, x, memory);
  State state = mixer->new_state(2);
  MixerContext context;
  context.state = &state;
  std::vector<at::Tensor> parts = {read(*mixer, x.slice(1, 0, 4), memory, &state)};
  parts.push_back(read(*mixer, x.slice(1, 4, 6), memory, &state));
  for (int64_t t = 6; t < 9; ++t) parts.push_back(mixer->forward(x.slice(1, t, t + 1), context));
  return expect_close(at::cat(parts, 1), whole, kBound, "in pieces with a state");
}

// A memory for each document, empty ones too.
std::string documents_have_memories(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const c10::NoGradGuard no_grad;
  const at::Tensor x = suite.input(1, 20);
  const std::vector<int64_t> ends = {0, 6, 6, 7, 20};
  EncoderMemory memory = random_memory(*mixer, 4);
  memory.lengths = lengths_of({11, 3, 5, 8});
  MixerContext context;
  context.cu_seqlens = at::tensor(ends, at::kLong);
  const at::Tensor y = memory_reader_of(*mixer)->forward_with_memory(x, memory, context);
  double worst = 0;
  for (int64_t i = 0; i < 4; ++i) {
    if (ends[i] == ends[i + 1]) continue;
    const EncoderMemory own = {memory.values.narrow(0, i, 1), memory.lengths.narrow(0, i, 1)};
    const at::Tensor alone = read(*mixer, x.slice(1, ends[i], ends[i + 1]), own);
    const double error = relative_error(y.slice(1, ends[i], ends[i + 1]), alone);
    GAMUT_CHECK(error <= kBound, "document ", i, " differs from the same document and memory alone",
                figure(": relative error", error));
    worst = std::max(worst, error);
  }
  return figure("relative error", worst);
}

std::string bad_memory_is_refused(const MixerSuite& suite) {
  auto mixer = suite.fresh();
  const at::Tensor x = suite.input(2, 5);
  const at::Tensor good = random_memory(*mixer, 2).values;
  const auto refused = [&](const std::string& what, const EncoderMemory& memory) {
    return expect_refusal(what, [&] { read(*mixer, x, memory); });
  };
  refused("a memory of 3 entries for 2 rows", random_memory(*mixer, 3));
  refused("a memory that is one channel wider",
          {at::randn({2, kSteps, good.size(2) + 1}, at::kDouble), {}});
  refused("a length beyond the memory", {good, lengths_of({1, kSteps + 1})});
  refused("a negative length", {good, lengths_of({-1, 1})});
  return expect_refusal("no memory at all", [&] {
    MixerContext context;
    mixer->forward(x, context);
  });
}

}  // namespace

at::Tensor forward(Mixer& mixer, const at::Tensor& x, MixerContext& context) {
  auto* reader = memory_reader_of(mixer);
  if (!reader) return mixer.forward(x, context);
  const int64_t rows = x.dim() > 0 ? x.size(0) : 1;
  const int64_t entries = context.cu_seqlens.defined() ? context.cu_seqlens.numel() - 1 : rows;
  return reader->forward_with_memory(
      x, {memory_values(entries, reader->d_memory(), x.scalar_type()), {}}, context);
}

void check_encoder_memory(const MixerSuite& suite, ConformanceReport& report) {
  if (!memory_reader_of(*suite.fresh())) return;
  const auto check = [&](const char* name, std::string (*test)(const MixerSuite&)) {
    report.check(name, [&] {
      at::manual_seed(6);
      return test(suite);
    });
  };
  check("memory: read, with gradient", memory_matters);
  check("memory: lengths", lengths_hide_the_rest);
  check("memory: kept by the state", state_keeps_the_memory);
  check("memory: of each document", documents_have_memories);
  check("memory: bad ones are refused", bad_memory_is_refused);
}

}  // namespace gamut::host::conformance
