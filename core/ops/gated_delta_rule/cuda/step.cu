// The recurrence step by step. A thread holds 16 rows of one column of the state in registers:
// lanes are neighbouring columns, warps follow each other along d_k. With e the decay and d = beta
// (v - e S^T k), the new state is e S + k d^T and its output e S^T q + (q . k) d, so that both
// products are of the old state, and the warps of a block meet once a step.
#include "ops/gated_delta_rule/cuda/step.h"

#include "cuda/math.cuh"
#include "cuda/pack.cuh"

namespace gamut::cuda {
namespace {

constexpr int kColumns = 32;  // lanes
constexpr int kRows = 16;     // of a thread
constexpr int kMaxThreads = kColumns * static_cast<int>(kDeltaRuleMaxHead) / kRows;

struct Sizes {
  int steps, keys, warps;  // keys: d_k padded to whole warps' rows
  bool value_first;
};

// Shared memory, all float32.
struct Memory {
  float *q, *k;                   // [steps, keys], q with the scale
  float* v;                       // [steps, kColumns]
  float *decay, *beta, *matched;  // [steps]; matched: q . k
  float* sums;                    // [2, warps, 2, kColumns]: S^T k and S^T q of a warp's rows
  float* state;                   // [kColumns, keys + 1], where it has to be turned

  template <class Take>
  __host__ __device__ void lay_out(const Sizes& sizes, const Take& take) {
    for (float** piece : {&q, &k}) take(*piece, sizes.steps * sizes.keys);
    take(v, sizes.steps * kColumns);
    for (float** piece : {&decay, &beta, &matched}) take(*piece, sizes.steps);
    take(sums, 4 * sizes.warps * kColumns);
    if (sizes.value_first) take(state, kColumns * (sizes.keys + 1));
  }
};

// What one block computes.
struct Part {
  int64_t sequence, head, key_head, first;
  int steps, column;  // column: the first

  __device__ explicit Part(const DeltaRuleShape& s) {
    const int64_t slices = (s.d_v + kColumns - 1) / kColumns, block = blockIdx.x;
    column = static_cast<int>(block % slices) * kColumns;
    head = block / slices % s.value_heads;
    sequence = block / slices / s.value_heads;
    key_head = head / (s.value_heads / s.heads);
    const int64_t each = s.steps / s.sequences;
    first = s.offsets ? s.offsets[sequence] : sequence * each;
    steps = static_cast<int>(s.offsets ? s.offsets[sequence + 1] - first : each);
  }
};

template <class T>
class Steps {
 public:
  __device__ Steps(const DeltaRuleForward& a, const Sizes& sizes)
      : a_(a), shape_(a.shape), sizes_(sizes), part_(a.shape) {
    SharedMemory shared;
    m_.lay_out(sizes, [&](float*& piece, int count) { piece = shared.take<float>(count); });
    lane_ = static_cast<int>(threadIdx.x) % kColumns;
    row_ = static_cast<int>(threadIdx.x) / kColumns * kRows;
    column_ = part_.column + lane_;
    is_inside_ = column_ < shape_.d_v;
  }

  __device__ void run() {
    load_inputs();
    load_state();
    __syncthreads();
    match();
    for (int step = 0; step < part_.steps; ++step) advance(step);
    if (!a_.final_state) return;
    __syncthreads();  // with a turned state, until all have read it
    store_state();
  }

 private:
  __device__ static float load(const DeltaRuleRows& rows, int64_t step, int64_t head, int i) {
    return to_float(
        static_cast<const T*>(rows.data)[step * rows.step_stride + head * rows.head_stride + i]);
  }

  __device__ void load_inputs() {
    const auto threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
    const auto scale = static_cast<float>(shape_.scale);
    for (int i = thread; i < part_.steps * sizes_.keys; i += threads) {
      const int64_t step = part_.first + i / sizes_.keys;
      const int key = i % sizes_.keys;
      const bool is_key = key < shape_.d_k;
      m_.q[i] = is_key ? scale * load(a_.q, step, part_.key_head, key) : 0.0F;
      m_.k[i] = is_key ? load(a_.k, step, part_.key_head, key) : 0.0F;
    }
    for (int i = thread; i < part_.steps * kColumns; i += threads) {
      m_.v[i] = is_inside_ ? load(a_.v, part_.first + i / kColumns, part_.head, column_) : 0.0F;
    }
    for (int i = thread; i < part_.steps; i += threads) {
      const int64_t gate = (part_.first + i) * shape_.value_heads + part_.head;
      m_.decay[i] = exp2f(a_.g[gate] * kLog2E);
      m_.beta[i] = a_.beta[gate];
    }
  }

  // Of the state of this block's sequence and head.
  __device__ int64_t place(int row, int column) const {
    const int64_t matrix =
        (part_.sequence * shape_.value_heads + part_.head) * shape_.d_k * shape_.d_v;
    return matrix + (shape_.value_first ? column * shape_.d_k + row : row * shape_.d_v + column);
  }

  // Calls visit(row, column of the block) for all elements of the block's state in the order of
  // memory.
  template <class Visit>
  __device__ void turned(const Visit& visit) const {
    const int columns = min(kColumns, static_cast<int>(shape_.d_v) - part_.column);
    const auto keys = static_cast<int>(shape_.d_k);
    for (int i = threadIdx.x; i < columns * keys; i += blockDim.x) visit(i % keys, i / keys);
  }

  __device__ bool has(int i) const { return is_inside_ && row_ + i < shape_.d_k; }

  __device__ void load_state() {
    const float* const from = a_.initial_state;
    if (from && shape_.value_first) {
      turned([&](int row, int column) {
        m_.state[column * (sizes_.keys + 1) + row] = from[place(row, part_.column + column)];
      });
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      s_[i] = 0;
      if (!from || !has(i)) continue;
      s_[i] = shape_.value_first ? m_.state[lane_ * (sizes_.keys + 1) + row_ + i]
                                 : from[place(row_ + i, column_)];
    }
  }

  __device__ void store_state() {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      if (!has(i)) continue;
      float& to = shape_.value_first ? m_.state[lane_ * (sizes_.keys + 1) + row_ + i]
                                     : a_.final_state[place(row_ + i, column_)];
      to = s_[i];
    }
    if (!shape_.value_first) return;
    __syncthreads();
    turned([&](int row, int column) {
      a_.final_state[place(row, part_.column + column)] =
          m_.state[column * (sizes_.keys + 1) + row];
    });
  }

  // q . k of every step, a warp each.
  __device__ void match() {
    for (int step = row_ / kRows; step < part_.steps; step += sizes_.warps) {
      float sum = 0;
      for (int i = lane_; i < sizes_.keys; i += kColumns) {
        sum += m_.q[step * sizes_.keys + i] * m_.k[step * sizes_.keys + i];
      }
      for (int apart = kColumns / 2; apart > 0; apart /= 2) {
        sum += __shfl_xor_sync(0xffffffffU, sum, apart);
      }
      if (lane_ == 0) m_.matched[step] = sum;
    }
  }

  __device__ void advance(int step) {
    const auto* q = reinterpret_cast<const float4*>(m_.q + step * sizes_.keys + row_);
    const auto* k = reinterpret_cast<const float4*>(m_.k + step * sizes_.keys + row_);
    float by_k = 0, by_q = 0;
#pragma unroll
    for (int i = 0; i < kRows / 4; ++i) {
      const float4 x = k[i], y = q[i];
      const float* s = s_ + 4 * i;
      by_k += x.x * s[0] + x.y * s[1] + x.z * s[2] + x.w * s[3];
      by_q += y.x * s[0] + y.y * s[1] + y.z * s[2] + y.w * s[3];
    }
    // Two halves of the memory in turn: while one is read, the next step's sums go to the other.
    float* const sums = m_.sums + step % 2 * 2 * sizes_.warps * kColumns;
    sums[row_ / kRows * 2 * kColumns + lane_] = by_k;
    sums[(row_ / kRows * 2 + 1) * kColumns + lane_] = by_q;
    __syncthreads();
    by_k = by_q = 0;
    for (int warp = 0; warp < sizes_.warps; ++warp) {
      by_k += sums[warp * 2 * kColumns + lane_];
      by_q += sums[(warp * 2 + 1) * kColumns + lane_];
    }
    const float decay = m_.decay[step], v = m_.v[step * kColumns + lane_];
    const float error = m_.beta[step] * (shape_.solve ? v - decay * by_k : v);
    if (row_ == 0) store_output(step, v, decay * by_q + m_.matched[step] * error);
#pragma unroll
    for (int i = 0; i < kRows / 4; ++i) {
      const float4 x = k[i];
      float* s = s_ + 4 * i;
      s[0] = decay * s[0] + x.x * error;
      s[1] = decay * s[1] + x.y * error;
      s[2] = decay * s[2] + x.z * error;
      s[3] = decay * s[3] + x.w * error;
    }
  }

  __device__ void store_output(int step, float v, float read) {
    if (!a_.output || !is_inside_) return;
    if (a_.skip) read += a_.skip[part_.head] * v;
    const int64_t row = (part_.first + step) * shape_.value_heads + part_.head;
    static_cast<T*>(a_.output)[row * shape_.d_v + column_] = from_float<T>(read);
  }

  const DeltaRuleForward& a_;
  const DeltaRuleShape& shape_;
  const Sizes& sizes_;
  const Part part_;
  Memory m_{};
  int lane_, row_, column_;  // of this thread: row of d_k, column of d_v
  bool is_inside_;
  float s_[kRows];
};

template <class T>
__global__ void __launch_bounds__(kMaxThreads) steps_kernel(DeltaRuleForward a, Sizes sizes) {
  Steps<T>(a, sizes).run();
}

}  // namespace

Status delta_rule_steps(const DeltaRuleForward& a, Stream stream) {
  const char* name = "delta_rule_steps";
  const DeltaRuleShape& s = a.shape;
  if (!delta_rule_supports(s)) return {name, "heads of more channels than there are kernels for"};
  if (s.longest > kDeltaRuleMaxSteps) return {name, "more steps than are taken one by one"};
  const int64_t keys = delta_rule_padded(s.d_k);
  const Sizes sizes = {static_cast<int>(s.longest), static_cast<int>(keys),
                       static_cast<int>(keys) / kRows, s.value_first};
  SharedSize size;
  Memory().lay_out(sizes, [&](float*&, int count) { size.add<float>(count); });
  const int64_t slices = (s.d_v + kColumns - 1) / kColumns;
  const Launch how{s.sequences * s.value_heads * slices, sizes.warps * kColumns, size.bytes(),
                   stream};
  return by_element(s.element, [&](auto zero) {
    return launch(steps_kernel<decltype(zero)>, name, how, a, sizes);
  });
}

}  // namespace gamut::cuda
