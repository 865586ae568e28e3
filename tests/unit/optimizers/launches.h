// Counts what operators would launch on a GPU, from the calls that they make on the CPU: as many
// for an operator as LibTorch 2.11's CUDA form of it has.
#pragma once

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <map>
#include <set>
#include <string>

namespace gamut::test {

// Launches of all operators called in this thread while one exists, by the operators' names.
class Launches {
 public:
  Launches() {
    current() = this;
    handle_ =
        at::addThreadLocalCallback(at::RecordFunctionCallback(&Launches::enter, &Launches::leave)
                                       .needsInputs(true)
                                       .scopes({at::RecordScope::FUNCTION}));
  }
  ~Launches() {
    at::removeCallback(handle_);
    current() = nullptr;
  }
  Launches(const Launches&) = delete;
  Launches& operator=(const Launches&) = delete;

  int64_t total() const {
    int64_t sum = 0;
    for (const auto& entry : by_name) sum += entry.second;
    return sum;
  }

  std::map<std::string, int64_t> by_name;

 private:
  static Launches*& current() {
    thread_local Launches* counter = nullptr;
    return counter;
  }

  // Operators that are made of others: those are counted.
  static bool is_wrapper(const std::string& name) {
    static const std::set<std::string> names = {"aten::to", "aten::_to_copy", "aten::contiguous",
                                                "aten::clone", "gamut::newton_schulz"};
    return names.count(name) != 0;
  }

  static std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& call) {
    Launches& self = *current();
    const std::string name = call.name();
    if (self.inside_ > 0 || is_wrapper(name)) {
      self.inside_ += is_wrapper(name) ? 0 : 1;
      return nullptr;
    }
    self.inside_ = 1;
    if (const int64_t count = launches_of(name, call)) self.by_name[name] += count;
    return nullptr;
  }

  static void leave(const at::RecordFunction& call, at::ObserverContext*) {
    if (!is_wrapper(call.name())) --current()->inside_;
  }

  static int64_t launches_of(const std::string& name, const at::RecordFunction& call) {
    static const std::set<std::string> none = {
        "aten::empty",  "aten::empty_like", "aten::empty_strided", "aten::select",
        "aten::narrow", "aten::slice",      "aten::as_strided",    "aten::t",
        "aten::mT",     "aten::transpose",  "aten::unsqueeze",     "aten::detach",
        "aten::view",   "aten::reshape",    "aten::numpy_T",       "aten::lift_fresh"};
    if (none.count(name)) return 0;
    if (name == "aten::baddbmm") return 2;  // the addend is copied first
    if (name == "aten::_fused_adamw_") return chunked(call.inputs()[0].toTensorVector(), 4);
    if (name.rfind("aten::_foreach_", 0) == 0) {
      int64_t lists = name.back() == '_' ? 0 : 1;
      for (const auto& input : call.inputs()) lists += input.isTensorList() ? 1 : 0;
      const bool reduces = name == "aten::_foreach_norm";  // a second one joins the parts
      return chunked(call.inputs()[0].toTensorVector(), lists) + (reduces ? 1 : 0);
    }
    return 1;
  }

  // multi_tensor_apply: a launch takes so many tensors, and 320 pieces of 65536 elements.
  static int64_t chunked(const std::vector<at::Tensor>& tensors, int64_t lists) {
    constexpr int64_t kTensors[] = {0, 110, 64, 48, 36, 30};
    int64_t pieces = 0;
    for (const auto& t : tensors) pieces += (t.numel() + 65535) / 65536;
    const auto count = static_cast<int64_t>(tensors.size());
    return std::max((count + kTensors[lists] - 1) / kTensors[lists], (pieces + 319) / 320);
  }

  at::CallbackHandle handle_;
  int inside_ = 0;
};

}  // namespace gamut::test
