// The kernels of kernels.so as one table of functions, by which programs without CUDA call them.
//
// To add a host function: declare it in core/ops/<operator>/cuda/<operator>.h, include that here,
// and add its name to the list.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/device_facts.h"
#include "cuda/types.h"
#include "ops/activation/cuda/activation.h"
#include "ops/causal_conv1d/cuda/causal_conv1d.h"
#include "ops/cross_entropy/cuda/cross_entropy.h"
#include "ops/gated_delta_rule/cuda/backward.h"
#include "ops/gated_delta_rule/cuda/delta_rule.h"
#include "ops/gated_delta_rule/cuda/step.h"
#include "ops/norm/cuda/norm.h"
#include "ops/rope/cuda/rope.h"
#include "ops/scaled_sum/cuda/scaled_sum.h"

// One line each, by the alphabet.
// clang-format off
#define GAMUT_CUDA_KERNELS(X) \
  X(activation_backward) \
  X(activation_forward) \
  X(causal_conv1d_backward) \
  X(causal_conv1d_forward) \
  X(compute_capability) \
  X(cross_entropy_rows) \
  X(delta_rule_backward) \
  X(delta_rule_backward_plan) \
  X(delta_rule_plan) \
  X(delta_rule_prepare) \
  X(delta_rule_scan) \
  X(delta_rule_steps) \
  X(most_shared_memory) \
  X(norm_backward) \
  X(norm_forward) \
  X(rope_backward) \
  X(rope_forward) \
  X(scaled_sum_backward) \
  X(scaled_sum_forward)
// clang-format on

namespace gamut::cuda {

struct KernelTable {
  uint64_t layout;  // kTableLayout of the build that the library is from
#define GAMUT_KERNEL_MEMBER(name) decltype(&cuda::name) name;
  GAMUT_CUDA_KERNELS(GAMUT_KERNEL_MEMBER)
#undef GAMUT_KERNEL_MEMBER
};

// The bytes of all that a function takes, structs included.
template <class Function>
struct ParameterBytes;
template <class Result, class... Parameters>
struct ParameterBytes<Result (*)(Parameters...)> {
  static constexpr uint64_t value =
      (uint64_t{0} + ... + sizeof(std::remove_reference_t<Parameters>));
};

// A checksum (FNV-1a) of the functions' names and parameters: a program and a library with
// different ones do not belong together.
constexpr uint64_t table_layout() {
  uint64_t sum = 0xcbf29ce484222325;
  const auto add = [&sum](const char* name, uint64_t bytes) {
    for (; *name; ++name) sum = (sum ^ static_cast<unsigned char>(*name)) * 0x100000001b3;
    sum = (sum ^ bytes) * 0x100000001b3;
  };
#define GAMUT_KERNEL_LAYOUT(name) add(#name, ParameterBytes<decltype(&cuda::name)>::value);
  GAMUT_CUDA_KERNELS(GAMUT_KERNEL_LAYOUT)
#undef GAMUT_KERNEL_LAYOUT
  return sum;
}
inline constexpr uint64_t kTableLayout = table_layout();

}  // namespace gamut::cuda

// The one symbol of kernels.so.
extern "C" __attribute__((visibility("default"))) const gamut::cuda::KernelTable*
gamut_cuda_kernels();
