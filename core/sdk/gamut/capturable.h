// Capability `optimizer.capturable/1`: optimizers whose step can be recorded once, as a CUDA graph,
// and then replayed. A class has it by deriving from Optimizer and from Capturable.
#pragma once

#include <gamut/optimizer.h>

#include <string>
#include <vector>

namespace gamut {

// step() in two parts, so that what schedules change reaches the device beside the recording.
// Before every replay prepare_step, which is never recorded, writes options to tensors on the
// device; step_on_device, which is, launches kernels that read them from there.
class __attribute__((visibility("default"))) Capturable {
 public:
  static constexpr const char* kId = "optimizer.capturable/1";
  virtual ~Capturable() = default;

  // The options that prepare_step passes on, such as "lr". Every other option is part of the
  // recording: when a script changes its value, the step is recorded anew.
  virtual std::vector<std::string> live_options() const = 0;

  // Writes the live options of all groups, and what else changes from step to step and is known to
  // the host, into tensors that stay where they are from the first call on. Does not wait for the
  // device.
  virtual void prepare_step() = 0;

  // Updates as step() does, by what the last prepare_step wrote. Reads no live option and, on a
  // device, no element of a tensor; allocates nothing that must outlive it; does not wait. On the
  // CPU the result has the bits of step()'s; a step() between two recorded ones continues the same
  // state.
  virtual void step_on_device() = 0;
};

// The optimizer's capability, or null.
inline Capturable* capturable(Optimizer& optimizer) {
  return dynamic_cast<Capturable*>(&optimizer);
}

}  // namespace gamut
