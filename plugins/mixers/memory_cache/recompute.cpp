// An autograd function around a computation that is itself made of differentiable operators.
#include "recompute.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <memory>

namespace gamut::memory_cache {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

constexpr auto kDevice = at::kCPU;

struct Autocast {
  bool enabled = at::autocast::is_autocast_enabled(kDevice);
  at::ScalarType dtype = at::autocast::get_autocast_dtype(kDevice);
  bool caches = at::autocast::is_autocast_cache_enabled();

  void set() const {
    at::autocast::set_autocast_enabled(kDevice, enabled);
    at::autocast::set_autocast_dtype(kDevice, dtype);
    at::autocast::set_autocast_cache_enabled(caches);
  }
};

// Puts an autocast in force, without its cache, which would keep what is used but here, and what
// was in force back at the end.
class AutocastGuard {
 public:
  explicit AutocastGuard(const Autocast& autocast) {
    autocast.set();
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~AutocastGuard() { before_.set(); }
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  Autocast before_;
};

// What the backward pass needs besides tensors.
struct Job : torch::CustomClassHolder {
  Job(Compute c, size_t n) : compute(std::move(c)), inputs(n) {}
  Compute compute;
  size_t inputs;  // the tensors after them are parameters
  Autocast autocast;
};

// The gradients of the job's result with respect to its tensors. Inputs are used cut off from
// where they came from: what one owes to another, or to a parameter, is not counted here.
variable_list gradients(const Job& job, const variable_list& tensors, const Tensor& gradient) {
  const at::AutoGradMode with_graph(true);
  variable_list used(tensors);
  for (size_t i = 0; i < job.inputs; ++i) {
    used[i] = tensors[i].detach().requires_grad_(tensors[i].requires_grad());
  }
  Tensor result;
  {
    const AutocastGuard guard(job.autocast);
    result = job.compute({used.begin(), used.begin() + static_cast<int64_t>(job.inputs)});
  }
  variable_list wanted;
  std::copy_if(used.begin(), used.end(), std::back_inserter(wanted),
               [](const Tensor& t) { return t.requires_grad(); });
  const auto found = torch::autograd::grad({result}, wanted, {gradient}, /*retain_graph=*/false,
                                           /*create_graph=*/false, /*allow_unused=*/true);
  variable_list all(used.size());
  auto next = found.begin();
  for (size_t i = 0; i < used.size(); ++i) {
    if (used[i].requires_grad()) all[i] = *next++;
  }
  return all;
}

struct Recomputed : torch::autograd::Function<Recomputed> {
  static Tensor forward(AutogradContext* context, const c10::intrusive_ptr<Job>& job,
                        at::TensorList tensors) {
    context->save_for_backward(tensors.vec());
    context->saved_data["job"] = c10::IValue::make_capsule(job);
    return job->compute(tensors.slice(0, job->inputs).vec());
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    GAMUT_CHECK(!at::GradMode::is_enabled(),
                "memory_cache has no second derivatives; take first ones without create_graph");
    const auto held = context->saved_data["job"].toCapsule();
    auto result =
        gradients(static_cast<const Job&>(*held), context->get_saved_variables(), grads[0]);
    result.insert(result.begin(), Tensor());  // of the job
    return result;
  }
};

bool differentiable(const std::vector<Tensor>& tensors) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const Tensor& t) { return t.requires_grad(); });
}

}  // namespace

Tensor recomputed(Compute compute, const std::vector<Tensor>& inputs,
                  const std::vector<Tensor>& parameters) {
  const bool is_differentiated =
      at::GradMode::is_enabled() && (differentiable(inputs) || differentiable(parameters));
  if (!is_differentiated || inputs.front().device().type() != kDevice) return compute(inputs);
  std::vector<Tensor> tensors = inputs;
  tensors.insert(tensors.end(), parameters.begin(), parameters.end());
  return Recomputed::apply(c10::make_intrusive<Job>(std::move(compute), inputs.size()),
                           at::TensorList(tensors));
}

}  // namespace gamut::memory_cache
