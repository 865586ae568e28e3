// The plan of the backward pass, its steps in order, and sums over what blocks computed in parts.
#include "ops/gated_delta_rule/cuda/backward.h"

#include <algorithm>

#include "cuda/pack.cuh"
#include "ops/gated_delta_rule/cuda/gradients.h"
#include "ops/gated_delta_rule/cuda/gradients_memory.cuh"
#include "ops/gated_delta_rule/cuda/reverse_scan.h"

namespace gamut::cuda {
namespace {

constexpr size_t kSharedLimit = kLeastSharedMemory;

constexpr int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// ---- The plan ----

// Columns of a slice of d_k at most: what fits into registers.
int64_t slice_columns(const DeltaRuleShape& shape) {
  return shape.element == Element::float32 || shape.d_k <= 64 ? 64 : 128;
}

size_t gradients_bytes(const DeltaRuleBackward& args) {
  if (args.shape.element == Element::float32) return GradientsMemory<float, 32>::bytes(args);
  return delta_rule_chunk(args.shape) == 64 ? GradientsMemory<__half, 64>::bytes(args)
                                            : GradientsMemory<__half, 32>::bytes(args);
}

// The widest slices of d_v, in two stages if one can be.
void plan_memory(DeltaRuleBackward& args) {
  const int64_t d_v = delta_rule_padded(args.shape.d_v);
  auto& plan = args.plan;
  for (const int64_t widest : {64, 32, 16}) {
    const int64_t count = divide_up(d_v, widest);
    plan.columns = static_cast<int>(delta_rule_padded(divide_up(d_v, count)));
    for (plan.stages = count > 1 || args.shape.value_heads > args.shape.heads ? 2 : 1;
         plan.stages > 0; --plan.stages) {
      if (gradients_bytes(args) <= kSharedLimit) return;
    }
  }
  plan.stages = 1;
}

// Enough parts of the heads that share a head for two blocks a multiprocessor.
int parts_of(const DeltaRuleShape& shape, int slices, int count) {
  const int64_t group = shape.value_heads / shape.heads;
  const int64_t blocks = delta_rule_slots(shape) * shape.heads * slices;
  const int64_t wanted = std::min(group, divide_up(int64_t{2} * count, blocks));
  return static_cast<int>(divide_up(group, divide_up(group, wanted)));  // none of them empty
}

// ---- Sums ----

constexpr int kSumThreads = 256;

// to[i] = sum of from[part * n + i].
template <class T>
__global__ void __launch_bounds__(kSumThreads)
    add_parts(const float* from, int64_t n, int parts, T* to) {
  const int64_t i = int64_t{blockIdx.x} * kSumThreads + threadIdx.x;
  if (i >= n) return;
  float sum = 0;
  for (int part = 0; part < parts; ++part) sum += from[part * n + i];
  to[i] = from_float<T>(sum);
}

template <class T>
Status launch_sum(const float* from, int64_t n, int parts, void* to, Stream stream) {
  return launch(add_parts<T>, "delta_rule_add_parts",
                Launch{divide_up(n, kSumThreads), kSumThreads, 0, stream}, from, n, parts,
                static_cast<T*>(to));
}

Status add_sums(const DeltaRuleBackward& args, Stream stream) {
  const auto& shape = args.shape;
  const GradientSums sums(args);
  const int64_t keys = shape.steps * shape.heads * shape.d_k;
  const int64_t gates = shape.steps * shape.value_heads;
  Status status;
  if (args.plan.parts > 1) {
    status = by_element(shape.element, [&](auto zero) {
      using E = decltype(zero);
      const auto of_q = launch_sum<E>(sums.d_q, keys, args.plan.parts, args.d_q, stream);
      return of_q.ok() ? launch_sum<E>(sums.d_k, keys, args.plan.parts, args.d_k, stream) : of_q;
    });
  }
  if (args.plan.slices > 1 && status.ok()) {
    status = launch_sum<float>(sums.d_g, gates, args.plan.slices, args.d_g, stream);
    if (status.ok()) {
      status = launch_sum<float>(sums.d_beta, gates, args.plan.slices, args.d_beta, stream);
    }
  }
  return status;
}

Status launch_gradients_of(const DeltaRuleBackward& args, Stream stream) {
  switch (args.shape.element) {
    case Element::float32:
      return gradients_float32(args, stream);
    case Element::bfloat16:
      return gradients_bfloat16(args, stream);
    case Element::float16:
      return gradients_float16(args, stream);
  }
  return {"delta_rule_gradients", "no such element type"};
}

}  // namespace

DeltaRuleBackwardPlan delta_rule_backward_plan(const DeltaRuleShape& shape, int count) {
  const int devices = count > 0 ? count : multiprocessors();
  DeltaRuleBackward args{};
  args.shape = shape;
  auto& plan = args.plan;
  // The reverse scan has the products of the forward one.
  plan.scan = delta_rule_plan(shape, devices);
  plan.scan_stages = 2;
  while (plan.scan.warps > 1 && reverse_scan_bytes(shape, plan) > kSharedLimit) {
    plan.scan.warps /= 2;
  }
  if (reverse_scan_bytes(shape, plan) > kSharedLimit) plan.scan_stages = 1;
  plan.slices = static_cast<int>(divide_up(delta_rule_padded(shape.d_k), slice_columns(shape)));
  plan.parts = parts_of(shape, plan.slices, devices);
  plan_memory(args);
  return plan;
}

Status delta_rule_gradients(const DeltaRuleBackward& args, Stream stream) {
  const auto status = launch_gradients_of(args, stream);
  return status.ok() ? add_sums(args, stream) : status;
}

Status delta_rule_backward(const DeltaRuleBackward& args, Stream stream) {
  auto status = delta_rule_scores(args, stream);
  if (status.ok()) status = delta_rule_reverse_scan(args, stream);
  return status.ok() ? delta_rule_gradients(args, stream) : status;
}

}  // namespace gamut::cuda
