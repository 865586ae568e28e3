// How the scan is divided: slices of d_v for blocks, and, where sequences and heads are too few for
// the multiprocessors, runs of chunks. A run is affine in the state that enters it, S -> M S + X:
//   probe   X and M of all runs but the last (of the first one, the state itself), all at once
//   chain   the states between runs, one after the other, in float32
//   runs    outputs, from those states, all runs at once
#include <algorithm>

#include "ops/gated_delta_rule/cuda/scan.cuh"

namespace gamut::cuda {
namespace {

// ---- The plan ----

// Matrix instructions of a block for one chunk: those of its longest warp, which come one after the
// other, and those of all warps, on the four units of a multiprocessor.
struct Cost {
  double chain, work;
};

// Stalls make a chain of dependent products that much longer than its instructions; barriers and
// loads cost about so many instructions. Estimates, not measured.
constexpr double kStall = 2, kPerChunk = 100;
// Runs must promise to be that much faster than a whole sequence.
constexpr double kCaution = 1.25;

Cost chunk_cost(const DeltaRuleShape& shape, int warps, bool outputs) {
  const auto side = static_cast<double>(delta_rule_chunk(shape)) / 16;
  const double depth = static_cast<double>(delta_rule_padded(shape.d_k)) / 16;
  const double square = 2 * side * depth, triangle = side * (side + 1);
  const int products = 1 + (shape.solve ? 1 : 0) + (outputs ? 1 : 0);
  const double own = products * square + (products - 1) * triangle;
  const double scores = outputs ? triangle * depth : 0;
  const int turns = (warps + 3) / 4;
  return {kStall * (own * turns + scores / warps) + kPerChunk, (own * warps + scores) / 4};
}

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

int64_t slices_of(const DeltaRuleShape& shape, int warps, bool with_matrix) {
  const int64_t columns =
      delta_rule_padded(shape.d_v) + (with_matrix ? delta_rule_padded(shape.d_k) : 0);
  return divide_up(columns, int64_t{kSlice} * warps);
}

// Time of one pass over pieces of `longest` chunks, in matrix instructions.
double pass_time(const DeltaRuleShape& shape, int warps, int64_t longest, bool is_probe,
                 int multiprocessors) {
  const Cost cost = chunk_cost(shape, warps, !is_probe);
  const double chunks = static_cast<double>(divide_up(shape.steps, delta_rule_chunk(shape)));
  const auto blocks = static_cast<double>(shape.value_heads * slices_of(shape, warps, is_probe));
  return std::max(static_cast<double>(longest) * cost.chain,
                  chunks * blocks * cost.work / multiprocessors);
}

constexpr size_t kSharedLimit = kLeastSharedMemory;

size_t scan_bytes(const DeltaRuleShape& shape, int warps) {
  const int64_t d_k = shape.d_k;
  if (shape.element == Element::float32) {
    return d_k <= 128 ? ScanTiles<float, 32, 128>::bytes(warps)
                      : ScanTiles<float, 32, 256>::bytes(warps);
  }
  return d_k <= 128 ? ScanTiles<__half, 64, 128>::bytes(warps)
                    : ScanTiles<__half, 32, 256>::bytes(warps);
}

// ---- The chain ----

constexpr int kChainThreads = 128;

// The true states that leave runs, in place of what they leave from a state of zero; a block is a
// sequence, a value head and 16 columns. The first run's is there already; the last one's is not
// wanted.
__global__ void __launch_bounds__(kChainThreads)
    delta_rule_chain_kernel(const DeltaRuleShape shape, const int64_t length, float* runs) {
  const int64_t slices = delta_rule_padded(shape.d_v) / kSlice;
  const int64_t head = blockIdx.x / slices % shape.value_heads;
  const int64_t sequence = blockIdx.x / slices / shape.value_heads;
  const int64_t steps = sequence_begin(shape, sequence + 1) - sequence_begin(shape, sequence);
  const int64_t count = (steps + length - 1) / length;
  if (count < 3) return;
  const int keys = static_cast<int>(delta_rule_padded(shape.d_k)), stride = tile_stride(keys);
  const int column = static_cast<int>(blockIdx.x % slices) * kSlice;
  const int64_t slot = first_slot(shape, length, sequence);
  SharedMemory shared;
  float* states = shared.take<float>(2 * kSlice * stride);  // [2, 16, d_k]: before a run, after it
  const float* first = state_of_run(runs, shape, slot, head).data + column * int64_t{keys};
  for (int i = threadIdx.x; i < kSlice * keys; i += kChainThreads) {
    states[i / keys * stride + i % keys] = first[i];
  }
  __syncthreads();
  for (int64_t run = 1; run + 1 < count; ++run) {
    float* left = state_of_run(runs, shape, slot + run, head).data;
    const Rows<float> before{states + (run - 1) % 2 * kSlice * stride, stride};
    const Rows<float> matrix{left + delta_rule_padded(shape.d_v) * keys, keys};
    for (int block = warp_index() * 16; block < keys; block += kChainThreads / kWarp * 16) {
      float* place = left + column * int64_t{keys} + block;
      Sums state[2];
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        state[i / 4][i % 4] = place[sum_row(i % 4) * keys + i / 4 * 8 + sum_column(i % 4)];
      }
      multiply_add<K::inner, K::outer>(state, before, 0, matrix, block, keys);
      store_rows<float>(state, place, keys, 16);
      store_rows<float>(state, states + run % 2 * kSlice * stride + block, stride, 16);
    }
    __syncthreads();
  }
}

Status launch_chain(const DeltaRuleForward& args, int64_t length, Stream stream) {
  const auto& shape = args.shape;
  const int stride = tile_stride(static_cast<int>(delta_rule_padded(shape.d_k)));
  const Launch how{shape.sequences * shape.value_heads * (delta_rule_padded(shape.d_v) / kSlice),
                   kChainThreads, SharedSize().add<float>(int64_t{2} * kSlice * stride).bytes(),
                   stream};
  return launch(delta_rule_chain_kernel, "delta_rule_chain", how, shape, length, args.runs);
}

// ---- The passes ----

template <class E>
Status launch_pass_of(ScanCall& call) {
  const auto& args = call.args;
  const auto& shape = args.shape;
  const DeltaRuleRows output{args.output, shape.value_heads * shape.d_v, shape.d_v};
  call.q_bytes = copy_bytes<E>(args.q, shape.d_k);
  call.k_bytes = copy_bytes<E>(args.k, shape.d_k);
  call.v_bytes = copy_bytes<E>(args.v, shape.d_v);
  call.output_bytes = copy_bytes<E>(output, shape.d_v);
  if constexpr (std::is_same_v<E, float>) return scan_float32(call);
  if constexpr (std::is_same_v<E, __half>) return scan_float16(call);
  if constexpr (std::is_same_v<E, __nv_bfloat16>) return scan_bfloat16(call);
}

Status launch_pass(const DeltaRuleForward& args, ScanPass pass, Stream stream) {
  const auto& shape = args.shape;
  ScanCall call{args, pass, shape.sequences, 0, 0, 0, 0, 0, stream};
  if (pass != ScanPass::whole) call.parts = delta_rule_run_slots(shape, args.plan.run);
  call.slices = static_cast<int>(slices_of(shape, args.plan.warps, pass == ScanPass::probe));
  if (pass == ScanPass::probe) {
    call.args.output = call.args.states = call.args.errors = nullptr;
  }
  switch (shape.element) {
    case Element::float32:
      return launch_pass_of<float>(call);
    case Element::bfloat16:
      return launch_pass_of<__nv_bfloat16>(call);
    case Element::float16:
      return launch_pass_of<__half>(call);
  }
  return {"delta_rule_scan", "no such element type"};
}

}  // namespace

DeltaRulePlan delta_rule_plan(const DeltaRuleShape& shape, int count) {
  const int devices = count > 0 ? count : multiprocessors();
  const int64_t longest = divide_up(shape.longest, delta_rule_chunk(shape));
  const int64_t tiles = delta_rule_padded(shape.d_v) / kSlice;
  DeltaRulePlan best{1, 0};
  double least = -1;
  const auto consider = [&](int warps, int64_t run, double time) {
    if (least >= 0 && time >= least) return;
    best = {warps, run};
    least = time;
  };
  for (int warps = 1; warps <= kScanMaxWarps && warps <= tiles; ++warps) {
    if (scan_bytes(shape, warps) > kSharedLimit) break;
    consider(warps, 0, pass_time(shape, warps, longest, false, devices));
    for (int64_t run = 4; run * 3 <= longest; run *= 2) {
      const int64_t links = longest / run * delta_rule_padded(shape.d_k);
      const double passes = pass_time(shape, warps, run, true, devices) +
                            pass_time(shape, warps, run, false, devices);
      consider(warps, run, kCaution * (passes + static_cast<double>(links)));
    }
  }
  return best;
}

Status delta_rule_scan(const DeltaRuleForward& args, Stream stream) {
  const int64_t run = args.plan.run;
  if (run == 0) return launch_pass(args, ScanPass::whole, stream);
  auto status = launch_pass(args, ScanPass::probe, stream);
  if (status.ok()) status = launch_chain(args, run * delta_rule_chunk(args.shape), stream);
  return status.ok() ? launch_pass(args, ScanPass::runs, stream) : status;
}

}  // namespace gamut::cuda
