// Contract of a sequence mixer: attention, GDN, Mamba and whatever comes next.
#pragma once

#include <gamut/module.h>
#include <gamut/options.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace gamut {

// What a mixer carries from one call to the next: named tensors and how many tokens it has read.
// Plain data, so that it can be saved, moved between devices and wrapped by another mixer.
struct State {
  NamedTensors tensors;
  int64_t position = 0;

  // The tensor of that name; throws gamut::Error when there is none.
  at::Tensor& operator[](std::string_view name) {
    for (auto& t : tensors) {
      if (t.name == name) return t.tensor;
    }
    throw Error(c10::str("this state has no tensor `", std::string(name), "`"));
  }
  const at::Tensor& operator[](std::string_view name) const {
    return const_cast<State&>(*this)[name];
  }

  // A snapshot to return to later: a plain copy shares tensors, and forward may write into them.
  State clone() const {
    State copy = *this;
    for (auto& t : copy.tensors) {
      if (t.tensor.defined()) t.tensor = t.tensor.detach().clone();
    }
    return copy;
  }
};

// Everything about a call besides its input.
struct MixerContext {
  // Position of each step, int64 [time]. Undefined: state->position (or 0) + 0, 1, 2, ... and
  // restarting at every document start.
  at::Tensor positions;

  // Packed documents: int64 [documents + 1], on the CPU, offsets into the flattened
  // [batch * time] steps, from 0 to batch * time; every row start is among them. Undefined: each
  // row is one document. Nothing may flow from one document to the next. With a state, the first
  // document of a row continues it, later ones start afresh, and the last one is what it holds
  // afterwards.
  at::Tensor cu_seqlens;

  // Dropout and the like are active only when set.
  bool training = false;

  // When set, forward continues from it and updates it: prefill and one-token steps are one call.
  State* state = nullptr;
};

class __attribute__((visibility("default"))) Mixer : public Module {
 public:
  // x [batch, time, d_model] -> [batch, time, d_model], causal: output t depends on inputs <= t.
  // Rows of the batch are independent. Repeated calls with equal inputs are bit-identical. The
  // output has the dtype of x, which is that of the parameters; inner steps may use a wider one,
  // never a narrower (`gamut check` takes gradients in float64). An x of another shape or dtype is
  // a gamut::Error that says what was expected. Gradients need not flow through a state.
  virtual at::Tensor forward(const at::Tensor& x, MixerContext& context) = 0;

  // An empty state for `batch` rows, on the device of the parameters.
  virtual State new_state(int64_t batch) const = 0;

  // Capabilities beyond the contract, by id such as "kernel.cuda/1"; null when not offered. What
  // the pointer is, the id defines; it lives as long as the mixer.
  virtual void* query(std::string_view /*id*/) { return nullptr; }
};

}  // namespace gamut
