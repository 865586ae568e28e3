// Gradients of gradients for operators whose backward pass is a kernel: through a composed form.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

namespace gamut::ops {

using Composed = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

// The gradients of <outputs of f, grads> with respect to `inputs`, themselves differentiable.
// Undefined entries, in inputs or grads, are absent; so is a gradient that nobody asked for.
inline std::vector<at::Tensor> differentiable_gradients(const Composed& f,
                                                        const std::vector<at::Tensor>& inputs,
                                                        const std::vector<at::Tensor>& grads) {
  std::vector<at::Tensor> views, outputs, given, leaves, result(inputs.size());
  // One input may be made from another, and a gradient with respect to the other itself would
  // count that path as well; with respect to a view of it, it does not.
  for (const auto& x : inputs) views.push_back(x.defined() ? x.view_as(x) : x);
  const auto all = f(views);
  for (size_t i = 0; i < all.size(); ++i) {
    if (!grads[i].defined() || !all[i].requires_grad()) continue;
    outputs.push_back(all[i]);
    given.push_back(grads[i]);
  }
  for (const auto& x : views) {
    if (x.defined() && x.requires_grad()) leaves.push_back(x);
  }
  if (outputs.empty() || leaves.empty()) return result;
  const auto found = torch::autograd::grad(outputs, leaves, given, /*retain_graph=*/true,
                                           /*create_graph=*/true, /*allow_unused=*/true);
  size_t next = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined() && inputs[i].requires_grad()) result[i] = found[next++];
  }
  return result;
}

}  // namespace gamut::ops
