// Shared by the tests of operators and mixers: fixtures, errors in the fixtures' measure,
// gradients.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gamut/error.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "../common.h"
#include "checkpoint/safetensors.h"

namespace gamut::test {

using at::Tensor;

// Tensors of tests/data/mixers/<name>.safetensors by name, in one dtype.
class Fixture {
 public:
  Fixture(const std::string& name, at::ScalarType dtype) {
    const auto path = GAMUT_SOURCE_DIR "/tests/data/mixers/" + name + ".safetensors";
    for (const auto& t : checkpoint::read_safetensors(path)) tensors_[t.name] = t.tensor.to(dtype);
  }
  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  Tensor operator[](const std::string& name) const {
    GAMUT_CHECK(has(name), "the fixture has no tensor `", name, "`");
    return tensors_.at(name);
  }
  Tensor get(const std::string& name) const { return has(name) ? (*this)[name] : Tensor(); }

 private:
  std::map<std::string, Tensor> tensors_;
};

// Largest error over the largest entry.
inline double relative_error(const Tensor& got, const Tensor& expected) {
  if (got.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  const auto a = got.detach().to(at::kDouble), b = expected.detach().to(at::kDouble);
  const double largest = b.abs().max().item<double>();
  const double error = (a - b).abs().max().item<double>();
  if (std::isnan(error)) return std::numeric_limits<double>::infinity();
  return largest == 0 ? error : error / largest;
}

#define EXPECT_CLOSE(got, expected, tolerance) \
  EXPECT_LE(::gamut::test::relative_error(got, expected), tolerance) << #got

// Gradients of sum_i <outputs_i, cotangents_i> with respect to `inputs`, which become leaves.
using Function = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;
struct Evaluated {
  std::vector<Tensor> outputs, gradients;
};
inline Evaluated evaluate(const Function& f, const std::vector<Tensor>& inputs,
                          const std::vector<Tensor>& cotangents) {
  std::vector<Tensor> leaves;
  for (const auto& x : inputs) leaves.push_back(x.detach().clone().set_requires_grad(true));
  Evaluated result;
  result.outputs = f(leaves);
  Tensor loss;
  for (size_t i = 0; i < cotangents.size(); ++i) {
    const auto part = (result.outputs[i].to(cotangents[i].scalar_type()) * cotangents[i]).sum();
    loss = loss.defined() ? loss + part : part;
  }
  loss.backward();
  for (const auto& x : leaves) {
    result.gradients.push_back(x.grad().defined() ? x.grad() : at::zeros_like(x));
  }
  return result;
}

// Compares the gradients of `f` at float64 inputs with central differences along a random
// direction of each input.
inline void expect_gradients(const Function& f, const std::vector<Tensor>& inputs,
                             double tolerance = 1e-7) {
  std::vector<Tensor> cotangents;
  for (const auto& y : f(inputs)) cotangents.push_back(at::randn_like(y));
  const auto exact = evaluate(f, inputs, cotangents);
  const auto loss = [&](const std::vector<Tensor>& at_inputs) {
    double sum = 0;
    const auto outputs = f(at_inputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      sum += (outputs[i] * cotangents[i]).sum().item<double>();
    }
    return sum;
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    const double h = 1e-5;
    const auto direction = at::randn_like(inputs[i]);
    auto moved = inputs;
    moved[i] = inputs[i] + h * direction;
    const double above = loss(moved);
    moved[i] = inputs[i] - h * direction;
    const double difference = (above - loss(moved)) / (2 * h);
    const double gradient = (exact.gradients[i] * direction).sum().item<double>();
    const double scale = (exact.gradients[i] * direction).abs().sum().item<double>() + 1e-12;
    EXPECT_NEAR(gradient / scale, difference / scale, tolerance) << "input " << i;
  }
}

// So many threads until the end of the scope.
class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

// Outputs and gradients are the same to the bit on one thread and on `count`.
inline void expect_same_on_threads(const Function& f, const std::vector<Tensor>& inputs,
                                   const std::vector<Tensor>& cotangents, int count = 3) {
  const auto on = [&](int n) {
    const Threads threads(n);
    return evaluate(f, inputs, cotangents);
  };
  const auto one = on(1), more = on(count);
  for (size_t i = 0; i < one.outputs.size(); ++i) {
    EXPECT_TRUE(at::equal(one.outputs[i], more.outputs[i])) << "output " << i;
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_TRUE(at::equal(one.gradients[i], more.gradients[i])) << "gradient of input " << i;
  }
}

inline Tensor offsets(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}

}  // namespace gamut::test
