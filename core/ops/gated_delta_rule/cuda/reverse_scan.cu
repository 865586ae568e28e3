// How the reverse scan is divided: as the forward one (split.cu), in runs from the last to the
// first.
#include "ops/gated_delta_rule/cuda/reverse_scan.cuh"

namespace gamut::cuda {
namespace {

constexpr int kChainThreads = 128;

// The gradients of the states between runs, in place of what a run makes of no gradient behind it:
// a block is a sequence, a value head and 16 columns of d_v. That of the last run is there already.
__global__ void __launch_bounds__(kChainThreads)
    reverse_chain_kernel(const __grid_constant__ DeltaRuleBackward args) {
  const auto& shape = args.shape;
  const int64_t slices = delta_rule_padded(shape.d_v) / 16,
                length = args.plan.scan.run * delta_rule_chunk(shape);
  const int64_t head = blockIdx.x / slices % shape.value_heads;
  const int64_t sequence = blockIdx.x / slices / shape.value_heads;
  const int64_t steps = sequence_begin(shape, sequence + 1) - sequence_begin(shape, sequence);
  const int64_t count = (steps + length - 1) / length, slot = first_slot(shape, length, sequence);
  if (count < 3) return;
  const int d_k = static_cast<int>(delta_rule_padded(shape.d_k)), stride = tile_stride(d_k);
  const int64_t column = blockIdx.x % slices * 16;
  SharedMemory shared;
  float* const states = shared.take<float>(2 * 16 * stride);  // behind a run, and before it
  const float* const last = run_of(args, slot + count - 1, head) + column * d_k;
  for (int i = threadIdx.x; i < 16 * d_k; i += kChainThreads) {
    states[(count - 1) % 2 * 16 * stride + i / d_k * stride + i % d_k] = last[i];
  }
  __syncthreads();
  for (int64_t run = count - 2; run > 0; --run) {
    float* const own = run_of(args, slot + run, head);
    const Rows<float> behind{states + (run + 1) % 2 * 16 * stride, stride};
    const Rows<float> matrix{own + delta_rule_padded(shape.d_v) * d_k, d_k};
    for (int block = warp_index() * 16; block < d_k; block += kChainThreads / kWarp * 16) {
      float* const place = own + column * d_k + block;
      Sums state[2];
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        state[i / 4][i % 4] = place[sum_row(i % 4) * d_k + i / 4 * 8 + sum_column(i % 4)];
      }
      multiply_add<K::inner, K::outer>(state, behind, 0, matrix, block, d_k);
      store_pair(place, d_k, state[0], state[1]);
      store_pair(states + run % 2 * 16 * stride + block, stride, state[0], state[1]);
    }
    __syncthreads();
  }
}

Status launch_chain(const DeltaRuleBackward& args, Stream stream) {
  const auto& shape = args.shape;
  const int stride = tile_stride(static_cast<int>(delta_rule_padded(shape.d_k)));
  const Launch how{shape.sequences * shape.value_heads * (delta_rule_padded(shape.d_v) / 16),
                   kChainThreads, SharedSize().add<float>(int64_t{2} * 16 * stride).bytes(),
                   stream};
  return launch(reverse_chain_kernel, "delta_rule_reverse_chain", how, args);
}

Status launch_pass(const DeltaRuleBackward& args, ReversePass pass, Stream stream) {
  const auto& shape = args.shape;
  const int64_t matrix = pass == ReversePass::probe ? delta_rule_padded(shape.d_k) : 0;
  const int64_t columns = delta_rule_padded(shape.d_v) + matrix, each = args.plan.scan.warps * 16;
  const int64_t parts = pass == ReversePass::whole
                            ? shape.sequences
                            : delta_rule_run_slots(shape, args.plan.scan.run);
  const ReverseScanCall call{args, pass, parts, static_cast<int>((columns + each - 1) / each)};
  switch (shape.element) {
    case Element::float32:
      return reverse_scan_float32(call, stream);
    case Element::bfloat16:
      return reverse_scan_bfloat16(call, stream);
    case Element::float16:
      return reverse_scan_float16(call, stream);
  }
  return {"delta_rule_reverse_scan", "no such element type"};
}

}  // namespace

size_t reverse_scan_bytes(const DeltaRuleShape& shape, const DeltaRuleBackwardPlan& plan) {
  if (shape.element == Element::float32) return ReverseMemory<float, 32>::bytes(shape, plan);
  return delta_rule_chunk(shape) == 64 ? ReverseMemory<__half, 64>::bytes(shape, plan)
                                       : ReverseMemory<__half, 32>::bytes(shape, plan);
}

Status delta_rule_reverse_scan(const DeltaRuleBackward& args, Stream stream) {
  if (args.plan.scan.run == 0) return launch_pass(args, ReversePass::whole, stream);
  auto status = launch_pass(args, ReversePass::probe, stream);
  if (status.ok()) status = launch_chain(args, stream);
  return status.ok() ? launch_pass(args, ReversePass::runs, stream) : status;
}

}  // namespace gamut::cuda
