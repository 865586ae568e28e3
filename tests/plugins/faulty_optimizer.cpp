// Momentum descent that breaks one clause of its contract on demand.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gamut/capturable.h>
#include <gamut/plugin.h>

namespace {

class Faulty final : public gamut::Optimizer, public gamut::Capturable {
 public:
  static gamut::OptionTable options() {
    return {gamut::option::number("lr", "learning rate").value(0.02).at_least(0),
            gamut::option::string("fault", "what to break")
                .value("none")
                .one_of({"none", "ascends", "forgets", "aliases", "any_state", "half_loaded",
                         "decays_all", "fixed_lr", "random", "names", "lazy", "recorded_lr"})};
  }
  Faulty(const gamut::Options& options, gamut::Host&)
      : fault_(options.string("fault")), first_lr_(options.number("lr")) {}

  void add_group(gamut::ParameterGroup group) override {
    for (const auto& p : group.parameters) {
      momentum_.push_back({"momentum/" + p.name, at::zeros_like(p.tensor.detach())});
    }
    gamut::Optimizer::add_group(std::move(group));
  }

  void step() override {
    prepare_step();
    update_all(rates_);
  }

  std::vector<std::string> live_options() const override { return {"lr"}; }

  void prepare_step() override {
    rates_.clear();
    for (const auto& group : groups_) {
      rates_.push_back(is("fixed_lr") ? first_lr_ : group.options.number("lr"));
    }
  }

  void step_on_device() override {
    if (recorded_.empty()) recorded_ = rates_;
    update_all(is("recorded_lr") ? recorded_ : rates_);
  }

  gamut::NamedTensors state() const override {
    if (is("forgets") || (is("lazy") && !has_stepped_)) return {};
    gamut::NamedTensors all = momentum_;
    if (is("names")) all.push_back({"steps", at::zeros({1})});
    return all;
  }

  void load_state(const gamut::NamedTensors& state) override {
    if (is("forgets") || is("names") || (is("lazy") && state.empty())) return;
    for (size_t i = 0; i < momentum_.size(); ++i) {
      if (is("half_loaded") && i < state.size() && i == 0) momentum_[0].tensor.fill_(7);
      if (!is("any_state")) check_entry(state, i);
    }
    GAMUT_CHECK(is("any_state") || state.size() == momentum_.size(), "no parameter has the state ",
                state.back().name);
    for (size_t i = 0; i < std::min(state.size(), momentum_.size()); ++i) {
      momentum_[i].tensor = is("aliases") ? state[i].tensor : state[i].tensor.clone();
    }
  }

 private:
  bool is(const char* fault) const { return fault_ == fault; }

  void check_entry(const gamut::NamedTensors& state, size_t i) const {
    GAMUT_CHECK(i < state.size() && state[i].name == momentum_[i].name, "the state has no ",
                momentum_[i].name);
    GAMUT_CHECK(state[i].tensor.sizes() == momentum_[i].tensor.sizes(), momentum_[i].name, " is ",
                state[i].tensor.sizes());
  }

  void update_all(const std::vector<double>& rates) {
    const c10::NoGradGuard no_grad;
    has_stepped_ = true;
    size_t index = 0;
    for (size_t i = 0; i < groups_.size(); ++i) {
      for (const auto& p : groups_[i].parameters) {
        update(p.tensor, momentum_[index++].tensor, rates[i]);
      }
    }
  }

  void update(at::Tensor p, at::Tensor momentum, double lr) const {
    if (is("decays_all")) p.mul_(0.99);
    if (!p.grad().defined()) return;
    momentum.mul_(0.9).add_(p.grad());
    p.add_(momentum, is("ascends") ? lr : -lr);
    if (is("random")) p.add_(at::randn_like(p), counter_++ * 1e-6);
  }

  std::string fault_;
  double first_lr_;
  std::vector<double> rates_, recorded_;  // a group each, of the next step and of the first
  bool has_stepped_ = false;
  gamut::NamedTensors momentum_;
  static inline int64_t counter_ = 0;
};

}  // namespace

GAMUT_OPTIMIZER(Faulty, "faulty_optimizer", "1.0.0", "Breaks its contract on demand")
