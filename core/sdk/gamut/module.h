// Base of everything in a plugin that owns tensors: named parameters, buffers and children.
//
// It is what torch::nn::Module is to a C++ front end, without that header's compile time. Lua sees
// a plugin module as one of its own: the names below become paths such as
// `blocks.3.mixer.q_proj.weight`, in the order of registration.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/error.h>

#include <string>
#include <utility>
#include <vector>

namespace gamut {

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};
using NamedTensors = std::vector<NamedTensor>;

// Conversions (device, dtype) happen in place with Tensor::set_data, so handles that a module
// keeps in its fields stay the registered tensors.
class __attribute__((visibility("default"))) Module {
 public:
  Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  virtual ~Module() = default;

  // Trainable tensors, names relative to this module, in order of registration.
  const NamedTensors& parameters() const { return parameters_; }
  // Tensors that are saved but not trained.
  const NamedTensors& buffers() const { return buffers_; }

 protected:
  // Turns gradients on and returns the handle to keep.
  at::Tensor register_parameter(const std::string& name, at::Tensor tensor) {
    add(parameters_, name, tensor);
    GAMUT_CHECK(tensor.is_floating_point(), "parameter `", name, "` is ", tensor.dtype(),
                ", which has no gradient; register it as a buffer");
    tensor.set_requires_grad(true);
    return tensor;
  }
  at::Tensor register_buffer(const std::string& name, at::Tensor tensor) {
    add(buffers_, name, tensor);
    return tensor;
  }
  // Adopts the tensors of `child` under `name.`, or under their own names when `name` is empty. The
  // caller keeps the child alive.
  void register_module(const std::string& name, const Module& child) {
    const std::string prefix = name.empty() ? "" : name + ".";
    for (const auto& p : child.parameters()) add(parameters_, prefix + p.name, p.tensor);
    for (const auto& b : child.buffers()) add(buffers_, prefix + b.name, b.tensor);
  }

 private:
  void add(NamedTensors& list, const std::string& name, const at::Tensor& tensor) {
    GAMUT_CHECK(tensor.defined(), "tensor `", name, "` was registered before it was made");
    for (const auto* taken : {&parameters_, &buffers_}) {
      for (const auto& t : *taken) {
        GAMUT_CHECK(t.name != name, "tensor `", name, "` was registered twice");
      }
    }
    list.push_back({name, tensor});
  }

  NamedTensors parameters_;
  NamedTensors buffers_;
};

}  // namespace gamut
