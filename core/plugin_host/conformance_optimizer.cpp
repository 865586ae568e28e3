// The contract of an optimizer: it optimises, resumes exactly, and refuses a foreign state.
#include <gamut/capturable.h>

#include "plugin_host/conformance.h"
#include "plugin_host/conformance_tools.h"

namespace gamut::host {
namespace {

using namespace conformance;

struct OptimizerSuite {
  const OptimizerMaker& make;
  const OptionTable& table;
  const OptionMap& options;

  bool has(const std::string& name) const {
    return std::any_of(table.begin(), table.end(),
                       [&](const OptionSpec& spec) { return spec.name == name; });
  }
  // `options` with some replaced, where the plugin has them.
  OptionMap with(std::initializer_list<std::pair<const char*, double>> changes) const {
    OptionMap map = options;
    for (const auto& [name, value] : changes) {
      if (has(name)) map[name] = OptionValue(value);
    }
    return map;
  }
};

// Matrices, which every optimizer takes: tall, wide and square. Equal for equal seeds.
NamedTensors parameters(uint64_t seed = 1, at::ScalarType dtype = at::kFloat) {
  at::manual_seed(seed);
  NamedTensors list;
  for (auto [name, rows, columns] :
       {std::tuple{"embed.weight", 12, 6}, std::tuple{"up.weight", 6, 16},
        std::tuple{"square.weight", 8, 8}}) {
    list.push_back({name, at::randn({rows, columns}).to(dtype).requires_grad_()});
  }
  return list;
}

NamedTensors copy_of(const NamedTensors& list) {
  NamedTensors copies;
  for (const auto& p : list) {
    copies.push_back(
        {p.name, p.tensor.detach().clone().set_requires_grad(p.tensor.requires_grad())});
  }
  return copies;
}

void assign(const NamedTensors& list, const NamedTensors& values) {
  const c10::NoGradGuard no_grad;
  for (size_t i = 0; i < list.size(); ++i) list[i].tensor.copy_(values[i].tensor);
}

// Gradient of half the squared distance to the origin, plus noise that depends on `step` alone.
void set_gradients(const NamedTensors& list, int64_t step) {
  at::manual_seed(1000 + step);
  for (const auto& p : list) {
    at::Tensor tensor = p.tensor;
    tensor.mutable_grad() =
        tensor.detach() + at::randn(tensor.sizes()).to(tensor.scalar_type()) * 0.1;
  }
}

void take_steps(Optimizer& optimizer, const NamedTensors& list, int64_t from, int64_t to) {
  for (int64_t step = from; step < to; ++step) {
    set_gradients(list, step);
    optimizer.step();
  }
}

void expect_same(const NamedTensors& a, const NamedTensors& b, const std::string& what) {
  GAMUT_CHECK(a.size() == b.size(), what, ": ", a.size(), " tensors and ", b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    GAMUT_CHECK(a[i].name == b[i].name, what, ": `", a[i].name, "` and `", b[i].name, "`");
    GAMUT_CHECK(same_bits(a[i].tensor.detach(), b[i].tensor.detach()), what, ": `", a[i].name,
                "` differs");
  }
}

double loss(const NamedTensors& list) {
  double sum = 0;
  for (const auto& p : list) sum += p.tensor.detach().to(at::kDouble).square().sum().item<double>();
  return sum / 2;
}

std::string decreases_a_quadratic(const OptimizerSuite& suite) {
  const NamedTensors list = parameters();
  auto optimizer = suite.make({{list, {}}}, suite.with({{"lr", 0.02}}));
  const double before = loss(list);
  take_steps(*optimizer, list, 0, 60);
  const double after = loss(list);
  GAMUT_CHECK(after < 0.8 * before, "60 steps take the loss", figure(" from", before),
              figure(" to", after), "; it should fall by a fifth at least");
  return figure("loss from", before) + figure(" to", after);
}

std::string resumes_exactly(const OptimizerSuite& suite) {
  const NamedTensors list = parameters();
  auto unbroken = suite.make({{list, {}}}, suite.options);
  take_steps(*unbroken, list, 0, 7);
  NamedTensors resumed_list = copy_of(list), state = copy_of(unbroken->state());
  auto resumed = suite.make({{resumed_list, {}}}, suite.options);
  resumed->load_state(state);
  expect_same(resumed->state(), unbroken->state(), "the state right after loading it");
  for (auto& entry : state) entry.tensor.zero_();  // loading has to copy
  take_steps(*unbroken, list, 7, 14);
  take_steps(*resumed, resumed_list, 7, 14);
  expect_same(resumed_list, list, "7 steps, a resume and 7 more against 14 steps");
  expect_same(resumed->state(), unbroken->state(), "the state after 7 steps, a resume and 7 more");
  return c10::str(state.size(), " tensors of state");
}

std::string fresh_state_loads(const OptimizerSuite& suite) {
  const NamedTensors list = parameters(), other = parameters();
  auto optimizer = suite.make({{list, {}}}, suite.options);
  auto loaded = suite.make({{other, {}}}, suite.options);
  const NamedTensors fresh = copy_of(optimizer->state());
  loaded->load_state(copy_of(fresh));
  take_steps(*optimizer, list, 0, 3);
  take_steps(*loaded, other, 0, 3);
  expect_same(other, list, "3 steps after a state saved before the first step");

  // The throwaway steps of a warm-up are taken back in this way.
  loaded->load_state(copy_of(fresh));
  expect_same(loaded->state(), fresh, "the first state, loaded again after 3 steps");
  assign(other, parameters());
  take_steps(*loaded, other, 0, 3);
  expect_same(other, list, "3 steps after 3 steps that were taken back");
  return "";
}

std::string names_of_state(const OptimizerSuite& suite) {
  const NamedTensors list = parameters();
  auto optimizer = suite.make({{list, {}}}, suite.options);
  take_steps(*optimizer, list, 0, 1);
  for (const auto& entry : optimizer->state()) {
    const size_t slash = entry.name.find('/');
    const std::string parameter = slash == std::string::npos ? "" : entry.name.substr(slash + 1);
    GAMUT_CHECK(std::any_of(list.begin(), list.end(),
                            [&](const NamedTensor& p) { return p.name == parameter; }),
                "the state has an entry `", entry.name, "`; names are `kind/parameter`");
    GAMUT_CHECK(!entry.tensor.requires_grad(), "the state entry `", entry.name,
                "` requires a gradient");
  }
  return "";
}

void expect_named(const std::string& sentence, const std::string& name) {
  GAMUT_CHECK(sentence.find(name) != std::string::npos, "the refusal does not name `", name,
              "`: ", sentence);
}

std::string foreign_state_is_refused(const OptimizerSuite& suite) {
  const NamedTensors list = parameters();
  auto optimizer = suite.make({{list, {}}}, suite.options);
  take_steps(*optimizer, list, 0, 3);
  const NamedTensors state = copy_of(optimizer->state());
  if (state.empty()) return "no state";

  NamedTensors missing = state, unexpected = state, misshapen = state;
  missing.pop_back();
  unexpected.push_back({"momentum_of/nobody", at::zeros({2})});
  misshapen.back().tensor = at::zeros({3, 1, 2});
  auto refused = [&](const std::string& what, const NamedTensors& wrong) {
    return expect_refusal("a state with " + what, [&] { optimizer->load_state(wrong); });
  };
  expect_named(refused("an entry missing", missing), state.back().name);
  expect_named(refused("an entry too many", unexpected), "momentum_of/nobody");
  expect_named(refused("an entry of another shape", misshapen), state.back().name);
  expect_same(optimizer->state(), state, "the state after a refused one");
  return "missing, unexpected, misshapen";
}

std::string without_gradient_untouched(const OptimizerSuite& suite) {
  const NamedTensors list = parameters(), before = copy_of(list);
  auto optimizer = suite.make({{list, {}}}, suite.with({{"weight_decay", 0.1}}));
  set_gradients(list, 0);
  at::Tensor(list[1].tensor).mutable_grad().reset();
  optimizer->step();
  GAMUT_CHECK(same_bits(list[1].tensor.detach(), before[1].tensor.detach()), "`", list[1].name,
              "` has no gradient and is changed by a step");
  GAMUT_CHECK(!same_bits(list[0].tensor.detach(), before[0].tensor.detach()), "`", list[0].name,
              "` has a gradient and is not changed by a step");
  take_steps(*optimizer, list, 1, 3);  // the gradient may come later
  GAMUT_CHECK(!same_bits(list[1].tensor.detach(), before[1].tensor.detach()), "`", list[1].name,
              "` is not changed when its gradient comes later");
  return "";
}

std::string repeats(const OptimizerSuite& suite) {
  const NamedTensors first = parameters(), second = parameters();
  auto one = suite.make({{first, {}}}, suite.options);
  auto two = suite.make({{second, {}}}, suite.options);
  take_steps(*one, first, 0, 10);
  take_steps(*two, second, 0, 10);
  expect_same(first, second, "10 steps, twice");
  return "";
}

// Steps in the two parts of a recording against whole ones, with options that change on the way.
std::string records_exactly(const OptimizerSuite& suite) {
  const NamedTensors list = parameters(), other = parameters();
  auto whole = suite.make({{list, {}}}, suite.options);
  auto parted = suite.make({{other, {}}}, suite.options);
  Capturable* const steps = capturable(*parted);
  if (!steps) return "not offered";
  const std::vector<std::string> live = steps->live_options();
  for (const auto& name : live) {
    GAMUT_CHECK(suite.has(name), "live_options names `", name, "`, which is no option");
  }
  for (int64_t step = 0; step < 8; ++step) {
    for (const auto& name : live) {
      const OptionValue& value = whole->groups()[0].options.values().at(name);
      if (!std::holds_alternative<double>(value.base())) continue;
      const OptionValue changed(std::get<double>(value.base()) * 0.9);
      whole->groups()[0].options.set(name, changed);
      parted->groups()[0].options.set(name, changed);
    }
    take_steps(*whole, list, step, step + 1);
    set_gradients(other, step);
    if (step == 5) {  // a plain step between recorded ones
      parted->step();
      continue;
    }
    const NamedTensors before = copy_of(other);
    steps->prepare_step();
    expect_same(other, before, "the parameters after prepare_step");
    steps->step_on_device();
  }
  expect_same(other, list, "8 steps by prepare_step and step_on_device against 8 by step");
  expect_same(parted->state(), whole->state(), "the state after them");
  return c10::str(live.size(), " options may change between replays");
}

std::string options_take_effect(const OptimizerSuite& suite) {
  if (!suite.has("lr")) return "no option `lr`";
  const NamedTensors list = parameters();
  const OptionMap still = suite.with({{"lr", 0.0}});
  NamedTensors half(list.begin(), list.begin() + 1), rest(list.begin() + 1, list.end());
  auto optimizer = suite.make({{half, {}}, {rest, still}}, suite.with({{"lr", 0.02}}));
  const NamedTensors before = copy_of(list);
  take_steps(*optimizer, list, 0, 2);
  GAMUT_CHECK(!same_bits(half[0].tensor.detach(), before[0].tensor.detach()),
              "the group with lr = 0.02 does not move");
  expect_same(rest, {before.begin() + 1, before.end()}, "the group with lr = 0");

  GAMUT_CHECK(optimizer->groups().size() == 2, "groups() has ", optimizer->groups().size(),
              " groups after two were added");
  optimizer->groups()[0].options.set("lr", OptionValue(0.0));
  optimizer->groups()[1].options.set("lr", OptionValue(0.02));
  const NamedTensors middle = copy_of(list);
  take_steps(*optimizer, list, 2, 4);
  GAMUT_CHECK(same_bits(half[0].tensor.detach(), middle[0].tensor.detach()),
              "lr set to 0 between steps does not stop the group");
  GAMUT_CHECK(!same_bits(rest[0].tensor.detach(), middle[1].tensor.detach()),
              "lr set to 0.02 between steps does not move the group");
  return "lr per group and between steps";
}

std::string bfloat16_parameters(const OptimizerSuite& suite) {
  const NamedTensors list = parameters(1, at::kBFloat16);
  auto optimizer = suite.make({{list, {}}}, suite.with({{"lr", 0.02}}));
  const double before = loss(list);
  take_steps(*optimizer, list, 0, 60);
  const double after = loss(list);
  GAMUT_CHECK(after < 0.9 * before, "60 steps take the loss", figure(" from", before),
              figure(" to", after));
  return figure("loss from", before) + figure(" to", after);
}

}  // namespace

void check_optimizer(const OptimizerMaker& make, const OptionTable& table, const OptionMap& options,
                     ConformanceReport& report) {
  const OptimizerSuite suite{make, table, options};
  auto check = [&](const char* name, std::string (*test)(const OptimizerSuite&)) {
    report.check(name, [&] { return test(suite); });
  };
  bool made = false;
  report.check("construction", [&] {
    const auto optimizer = make({{parameters(), {}}}, options);
    GAMUT_CHECK(optimizer, "the maker returned no optimizer");
    made = true;
    return "";
  });
  if (!made) return;
  check("decreases a quadratic", decreases_a_quadratic);
  check("bfloat16 parameters", bfloat16_parameters);
  check("resumes exactly", resumes_exactly);
  check("state before the first step", fresh_state_loads);
  check("names of the state", names_of_state);
  check("a foreign state is refused", foreign_state_is_refused);
  check("no gradient, no change", without_gradient_untouched);
  check("options take effect", options_take_effect);
  check("repeat runs are bit-identical", repeats);
  check("a recorded step is a step", records_exactly);
}

}  // namespace gamut::host
