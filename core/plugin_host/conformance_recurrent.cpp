// Mixers that open their recurrence (gamut/recurrent.h): the parts make up forward, may be run in
// stretches, and a frozen memory answers as it did when it was online.
#include <gamut/recurrent.h>

#include "plugin_host/conformance_mixer.h"
#include "plugin_host/conformance_tools.h"

namespace gamut::host::conformance {
namespace {

constexpr double kBound = 1e-8;
constexpr int64_t kTime = 70;
constexpr int64_t kCut = 37;

// A fresh mixer with its recurrence and the features of an input.
struct Opened {
  std::unique_ptr<Mixer> mixer;
  Recurrent* recurrent;
  at::Tensor x;
  NamedTensors features;

  explicit Opened(const MixerSuite& suite, int64_t batch = 2)
      : mixer(suite.fresh()), recurrent(recurrent_of(*mixer)), x(suite.input(batch, kTime)) {
    const c10::NoGradGuard no_grad;
    MixerContext context;
    features = recurrent->project(x, context);
    for (const auto& f : features) {
      GAMUT_CHECK(f.tensor.dim() >= 2 && f.tensor.size(0) == batch && f.tensor.size(1) == kTime,
                  "project makes the feature `", f.name, "` ", f.tensor.sizes(),
                  "; right would be [batch = ", batch, ", time = ", kTime, ", ...]");
    }
  }

  Memory empty(int64_t rows) const {
    return memory_of(mixer->new_state(rows), recurrent->memory_names());
  }
  NamedTensors part(int64_t from, int64_t to) const {
    NamedTensors list;
    for (const auto& f : features) list.push_back({f.name, f.tensor.slice(1, from, to)});
    return list;
  }
};

Memory random_like(const Memory& memory) {
  Memory random;
  for (const auto& m : memory) random.push_back(at::randn_like(m));
  return random;
}

// A dimension of n for the memories of each row.
Memory stacked(const std::vector<Memory>& list) {
  Memory memories;
  for (size_t i = 0; i < list.front().size(); ++i) {
    std::vector<at::Tensor> parts;
    for (const auto& memory : list) parts.push_back(memory[i]);
    memories.push_back(at::stack(parts, 1));
  }
  return memories;
}

void expect_same(const Memory& a, const Memory& b, const std::string& what) {
  GAMUT_CHECK(a.size() == b.size(), what, ": ", a.size(), " tensors where there are ", b.size(),
              " names");
  for (size_t i = 0; i < a.size(); ++i) expect_close(a[i], b[i], kBound, what);
}

std::string parts_are_forward(const MixerSuite& suite) {
  const Opened open(suite);
  const c10::NoGradGuard no_grad;
  auto& recurrent = *open.recurrent;
  double worst = 0;
  for (const auto& cu_seqlens :
       {at::Tensor(), at::tensor(std::vector<int64_t>{0, 9, kTime, 105, 140}, at::kLong)}) {
    MixerContext context;
    context.cu_seqlens = cu_seqlens;
    const auto features = recurrent.project(open.x, context);
    const auto scanned =
        recurrent.scan(features, open.empty(cu_seqlens.defined() ? 4 : 2), cu_seqlens);
    const auto y = recurrent.finish(recurrent.normalize(scanned.read), features, context);
    const auto whole = run(*open.mixer, open.x, nullptr, cu_seqlens);
    expect_close(y, whole, kBound, "project, scan, normalize and finish differ from forward");
    worst = std::max(worst, relative_error(y, whole));
  }
  return figure("relative error", worst);
}

std::string stretches_are_the_whole(const MixerSuite& suite) {
  const Opened open(suite);
  const c10::NoGradGuard no_grad;
  auto& recurrent = *open.recurrent;
  const Memory start = random_like(open.empty(2));
  const auto whole = recurrent.scan(open.features, start, {});
  const auto first = recurrent.scan(open.part(0, kCut), start, {});
  const auto second = recurrent.scan(open.part(kCut, kTime), first.memory, {});
  expect_same(second.memory, whole.memory, "the memory after two stretches and after the whole");
  return expect_close(at::cat({first.read, second.read}, 1), whole.read, kBound,
                      "reads of two stretches and of the whole");
}

// The memory after step t, frozen, answers the query of step t as it did online.
std::string frozen_reads(const MixerSuite& suite) {
  const Opened open(suite);
  const c10::NoGradGuard no_grad;
  auto& recurrent = *open.recurrent;
  const auto scanned = recurrent.scan(open.part(0, kCut), random_like(open.empty(2)), {});
  const Memory other = random_like(open.empty(2));
  const auto last = open.part(kCut - 1, kCut);
  const auto reads = recurrent.read(last, stacked({other, scanned.memory}));
  expect_close(reads.select(2, 1), scanned.read.narrow(1, kCut - 1, 1), kBound,
               "the read of a memory and what scan reads after writing it");
  const auto alone = recurrent.read(last, stacked({other}));
  const std::string figures = expect_close(reads.select(2, 0), alone.select(2, 0), kBound,
                                           "a memory read alone and beside another");
  if (!recurrent.reads_linearly()) return figures;
  Memory mixed;
  for (size_t i = 0; i < other.size(); ++i) {
    mixed.push_back(0.3 * other[i] - 0.6 * scanned.memory[i]);
  }
  return expect_close(recurrent.read(last, stacked({mixed})).select(2, 0),
                      0.3 * reads.select(2, 0) - 0.6 * reads.select(2, 1), kBound,
                      "the read of a sum of memories and the sum of their reads (say so with "
                      "reads_linearly)");
}

std::string queries_and_keys(const MixerSuite& suite) {
  const Opened open(suite);
  const c10::NoGradGuard no_grad;
  const auto q = open.recurrent->queries(open.features), k = open.recurrent->keys(open.features);
  GAMUT_CHECK(q.sizes() == k.sizes() && q.dim() == 3 && q.size(1) == kTime, "queries are ",
              q.sizes(), " and keys ", k.sizes(), "; right would be [rows, time, n] for both");
  return c10::str("of width ", q.size(2));
}

// d loss / d memory, of the memory before a scan and of one that is read, along random directions.
std::string gradients_through_memories(const MixerSuite& suite) {
  const Opened open(suite);
  auto& recurrent = *open.recurrent;
  at::Tensor read_weight, frozen_weight;
  Memory memory = random_like(open.empty(2)), after_weights = random_like(memory);
  const auto loss = [&](const Memory& at_memory) {
    const auto scanned = recurrent.scan(open.part(0, kCut), at_memory, {});
    const auto frozen = recurrent.read(open.part(kCut, kTime), stacked({at_memory}));
    if (!read_weight.defined()) {
      read_weight = at::randn_like(scanned.read);
      frozen_weight = at::randn_like(frozen);
    }
    auto sum = (scanned.read * read_weight).sum() + (frozen * frozen_weight).sum();
    for (size_t i = 0; i < after_weights.size(); ++i) {
      sum = sum + (scanned.memory[i] * after_weights[i]).sum();
    }
    return sum;
  };
  for (auto& m : memory) m = m.detach().requires_grad_();
  loss(memory).backward();
  double worst = 0;
  for (size_t i = 0; i < memory.size(); ++i) {
    GAMUT_CHECK(memory[i].grad().defined(), "no gradient reaches the memory");
    const c10::NoGradGuard no_grad;
    const double h = 1e-5;
    const auto direction = at::randn_like(memory[i]);
    Memory moved = memory;
    moved[i] = memory[i] + h * direction;
    const double above = loss(moved).item<double>();
    moved[i] = memory[i] - h * direction;
    const double slope = (above - loss(moved).item<double>()) / (2 * h);
    const double expected = (memory[i].grad() * direction).sum().item<double>();
    const double error =
        std::abs(slope - expected) / (memory[i].grad().norm().item<double>() + 1e-12);
    GAMUT_CHECK(error < 1e-6, "the gradient of the memory is wrong",
                figure(": relative error", error));
    worst = std::max(worst, error);
  }
  return figure("relative error", worst);
}

}  // namespace

void check_recurrence(const MixerSuite& suite, ConformanceReport& report) {
  if (!recurrent_of(*suite.fresh())) return;
  const auto check = [&](const char* name, std::string (*test)(const MixerSuite&)) {
    report.check(name, [&] {
      at::manual_seed(6);
      return test(suite);
    });
  };
  check("recurrence: its parts are forward", parts_are_forward);
  check("recurrence: in stretches", stretches_are_the_whole);
  check("recurrence: frozen memories", frozen_reads);
  check("recurrence: queries and keys", queries_and_keys);
  check("recurrence: gradients of memories", gradients_through_memories);
}

}  // namespace gamut::host::conformance
