// Wrappers of mixers and optimizers that pass each call on inside `guarded`.
#include "plugin_host/guard.h"

#include <gamut/capturable.h>
#include <gamut/encoder_memory.h>

#include <utility>

namespace gamut::host {
namespace {

class GuardedMixer final : public Mixer, public MemoryReader {
 public:
  GuardedMixer(std::unique_ptr<Mixer> mixer, Label label)
      : mixer_(std::move(mixer)), label_(std::move(label)) {
    register_module("", *mixer_);
  }
  at::Tensor forward(const at::Tensor& x, MixerContext& context) override {
    return guarded(label_, "forward", [&] { return mixer_->forward(x, context); });
  }
  State new_state(int64_t batch) const override {
    return guarded(label_, "new_state", [&] { return mixer_->new_state(batch); });
  }
  void* query(std::string_view id) override {
    void* const found = guarded(label_, "query", [&] { return mixer_->query(id); });
    if (id != MemoryReader::kId || !found) return found;
    reader_ = static_cast<MemoryReader*>(found);
    return static_cast<MemoryReader*>(this);
  }

  // Once `query` has found the mixer's own.
  int64_t d_memory() const override {
    return guarded(label_, "d_memory", [&] { return reader_->d_memory(); });
  }
  at::Tensor forward_with_memory(const at::Tensor& x, const EncoderMemory& memory,
                                 MixerContext& context) override {
    return guarded(label_, "forward",
                   [&] { return reader_->forward_with_memory(x, memory, context); });
  }

 private:
  std::unique_ptr<Mixer> mixer_;
  MemoryReader* reader_ = nullptr;
  Label label_;
};

class GuardedOptimizer : public Optimizer {
 public:
  GuardedOptimizer(std::unique_ptr<Optimizer> optimizer, Label label)
      : optimizer_(std::move(optimizer)), label_(std::move(label)) {}
  void add_group(ParameterGroup group) override {
    guarded(label_, "add_group", [&] { optimizer_->add_group(std::move(group)); });
  }
  std::vector<ParameterGroup>& groups() override { return optimizer_->groups(); }
  void step() override {
    guarded(label_, "step", [&] { optimizer_->step(); });
  }
  NamedTensors state() const override {
    return guarded(label_, "state", [&] { return optimizer_->state(); });
  }
  void load_state(const NamedTensors& state) override {
    guarded(label_, "load_state", [&] { optimizer_->load_state(state); });
  }

 protected:
  const Label& label() const { return label_; }

 private:
  std::unique_ptr<Optimizer> optimizer_;
  Label label_;
};

class GuardedCapturable final : public GuardedOptimizer, public Capturable {
 public:
  GuardedCapturable(std::unique_ptr<Optimizer> optimizer, Capturable& own, Label label)
      : GuardedOptimizer(std::move(optimizer), std::move(label)), own_(own) {}
  std::vector<std::string> live_options() const override {
    return guarded(label(), "live_options", [&] { return own_.live_options(); });
  }
  void prepare_step() override {
    guarded(label(), "prepare_step", [&] { own_.prepare_step(); });
  }
  void step_on_device() override {
    guarded(label(), "step_on_device", [&] { own_.step_on_device(); });
  }

 private:
  Capturable& own_;
};

}  // namespace

std::string Label::text() const {
  std::string text = kind + " `" + name + "`";
  if (!version.empty()) text += " " + version;
  if (!file.empty()) text += " (" + file + ")";
  return text;
}

std::unique_ptr<Mixer> guard(std::unique_ptr<Mixer> mixer, Label label) {
  return std::make_unique<GuardedMixer>(std::move(mixer), std::move(label));
}
std::unique_ptr<Optimizer> guard(std::unique_ptr<Optimizer> optimizer, Label label) {
  if (auto* own = capturable(*optimizer)) {
    return std::make_unique<GuardedCapturable>(std::move(optimizer), *own, std::move(label));
  }
  return std::make_unique<GuardedOptimizer>(std::move(optimizer), std::move(label));
}

}  // namespace gamut::host
