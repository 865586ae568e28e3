// Contract of an optimizer: parameter groups with options, a step, and a state that restores
// exactly.
#pragma once

#include <gamut/module.h>
#include <gamut/options.h>

#include <utility>
#include <vector>

namespace gamut {

struct ParameterGroup {
  NamedTensors parameters;
  Options options;  // the plugin's option table, checked; schedules change values between steps
};

class __attribute__((visibility("default"))) Optimizer {
 public:
  // Every option belongs to a group. The constructor gets the values that the caller gave for all
  // groups, with defaults; options without one may be missing there.
  virtual ~Optimizer() = default;

  // Called before the first step; overridden by optimizers that refuse some parameters.
  virtual void add_group(ParameterGroup group) { groups_.push_back(std::move(group)); }
  virtual std::vector<ParameterGroup>& groups() { return groups_; }

  // Updates every parameter that has a gradient, in place, without autograd. Deterministic.
  // Parameters without one stay as they are.
  virtual void step() = 0;

  // Everything that the next step depends on besides parameters, gradients and options, as
  // tensors named `kind/parameter`, such as "exp_avg/blocks.0.mlp.up.weight". Loading it into a
  // fresh optimizer over the same groups gives bit-identical steps from there on.
  virtual NamedTensors state() const = 0;
  // Copies the tensors. Throws gamut::Error that names missing, unexpected and misshapen entries,
  // and then changes nothing.
  virtual void load_state(const NamedTensors& state) = 0;

 protected:
  std::vector<ParameterGroup> groups_;
};

}  // namespace gamut
