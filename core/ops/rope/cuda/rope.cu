// Norm, rotation and gain of heads: a team of lanes, a warp at most, has one head of one step in
// registers. A lane has both channels of every pair that it turns. A team's head is the same in all
// steps that it goes through, so that gradients of weight and gain are added up in registers.
#include "ops/rope/cuda/rope.h"

#include "cuda/pack.cuh"
#include "cuda/part_sums.cuh"

namespace gamut::cuda {
namespace {

using Args = RopeArgs;

constexpr int kThreads = 256;
constexpr int kWarp = 32;

// How the work is cut: a block has `heads` heads of `steps` steps at a time, a team of lanes each.
struct Plan {
  int threads, lanes, heads, steps;
  int64_t across, parts;  // blocks for all heads of a step; blocks of different steps
};

struct Team {
  int lane, head_in_block, step_in_block;
  int64_t head, part;
  bool valid;

  __device__ Team(const Args& a, const Plan& plan)
      : lane(static_cast<int>(threadIdx.x) % plan.lanes),
        head_in_block(static_cast<int>(threadIdx.x) / plan.lanes % plan.heads),
        step_in_block(static_cast<int>(threadIdx.x) / plan.lanes / plan.heads),
        head(blockIdx.x % static_cast<uint32_t>(plan.across) * int64_t{plan.heads} + head_in_block),
        part(blockIdx.x / static_cast<uint32_t>(plan.across)),
        valid(step_in_block < plan.steps && head < a.heads) {}
};

// The sum over a team; every lane of the warp comes here.
__device__ float sum_of_team(float value, int lanes) {
  for (int apart = lanes / 2; apart > 0; apart /= 2) {
    value += __shfl_xor_sync(0xffffffffU, value, apart);
  }
  return value;
}

// Two packs of a head whose channels are each other's partners, or pairs within one pack.
template <int kN>
struct Unit {
  int64_t a, b, angle;  // first channels; first angle
  bool has_a, has_b, turns;

  __device__ Unit(const Args& args, int64_t index) : angle(index * kN) {
    turns = angle < args.pairs;
    const bool is_split = turns && !args.interleaved;
    a = is_split ? angle : 2 * angle;
    b = is_split ? angle + args.pairs : a + kN;
    has_a = a < args.head_dim;
    has_b = b < args.head_dim;
  }
};

template <int kN>
struct Angles {
  float cos[kN], sin[kN];

  __device__ void load(const Args& a, const Unit<kN>& unit, int64_t step, bool is_there) {
    if (is_there && unit.turns) {
      const auto row = static_cast<uint32_t>(step) % static_cast<uint32_t>(a.table_steps);
      const int64_t at = row * a.pairs + unit.angle;
      load_floats(a.cos + at, cos);
      load_floats(a.sin + at, sin);
      return;
    }
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      cos[i] = 1;
      sin[i] = 0;
    }
  }

  // Turns by the angles, or back.
  __device__ void turn(bool interleaved, bool back, float (&a)[kN], float (&b)[kN]) const {
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      if (kN > 1 && interleaved) {
        float (&both)[kN] = i < kN / 2 ? a : b;
        turn(back, i, both[2 * i % kN], both[(2 * i + 1) % kN]);
      } else {
        turn(back, i, a[i], b[i]);
      }
    }
  }

 private:
  __device__ void turn(bool back, int i, float& first, float& second) const {
    const float s = back ? -sin[i] : sin[i], x = first;
    first = x * cos[i] - second * s;
    second = x * s + second * cos[i];
  }
};

template <int kN>
__device__ void load_weights(const Args& a, int64_t channel, bool is_there, float (&w)[kN]) {
  if (is_there && a.weight && a.weight_element == Element::float32) {
    return load_floats(static_cast<const float*>(a.weight) + channel, w);
  }
#pragma unroll
  for (int i = 0; i < kN; ++i) {
    w[i] = is_there && a.weight ? load_element(a.weight, a.weight_element, channel + i) : 1;
  }
}

// What a lane has of a head: both packs of a unit, as floats.
template <class T, int kN>
struct Held {
  float a[kN], b[kN];

  __device__ void load(const void* tensor, int64_t stride, const Args& args, const Team& team,
                       const Unit<kN>& unit, int64_t step, bool is_there) {
    const T* const head = static_cast<const T*>(tensor) + step * stride + team.head * args.head_dim;
    const auto first = load_pack_if<kN>(is_there && unit.has_a, head + unit.a);
    const auto second = load_pack_if<kN>(is_there && unit.has_b, head + unit.b);
    unpack<T>(first, a);
    unpack<T>(second, b);
  }
  __device__ void store(void* tensor, const Args& args, const Team& team, const Unit<kN>& unit,
                        int64_t step) const {
    T* const head = static_cast<T*>(tensor) + (step * args.heads + team.head) * args.head_dim;
    if (unit.has_a) store_pack<kN>(head + unit.a, a);
    if (unit.has_b) store_pack<kN>(head + unit.b, b);
  }
};

template <class T, int kN>
__global__ void __launch_bounds__(kThreads) forward(Args a, Plan plan) {
  const Team team(a, plan);
  const int64_t units = (a.head_dim + 2 * kN - 1) / (2 * kN);
  const float share = 1.0F / static_cast<float>(a.head_dim);
  const float gain = team.valid && a.gain ? load_element(a.gain, a.gain_element, team.head) : 1;
  for (int64_t first = team.part * plan.steps; first < a.steps; first += plan.parts * plan.steps) {
    const int64_t step = first + team.step_in_block;
    const bool is_there = team.valid && step < a.steps;
    Held<T, kN> x;
    float squares = 0;
    for (int64_t from = 0; from < units; from += plan.lanes) {
      const Unit<kN> unit(a, from + team.lane);
      x.load(a.x, a.x_stride, a, team, unit, step, is_there);
#pragma unroll
      for (int i = 0; i < kN; ++i) squares += x.a[i] * x.a[i] + x.b[i] * x.b[i];
    }
    squares = sum_of_team(squares, plan.lanes);
    const float r = a.normalize ? rsqrtf(squares * share + a.eps) : 1;
    for (int64_t from = 0; from < units; from += plan.lanes) {
      const Unit<kN> unit(a, from + team.lane);
      Angles<kN> angles;
      float w_a[kN], w_b[kN];
      angles.load(a, unit, step, is_there);
      load_weights(a, unit.a, is_there && unit.has_a, w_a);
      load_weights(a, unit.b, is_there && unit.has_b, w_b);
      if (units > plan.lanes) x.load(a.x, a.x_stride, a, team, unit, step, is_there);
#pragma unroll
      for (int i = 0; i < kN; ++i) {
        x.a[i] *= r * gain * w_a[i];
        x.b[i] *= r * gain * w_b[i];
      }
      angles.turn(a.interleaved, /*back=*/false, x.a, x.b);
      if (is_there) x.store(a.y, a, team, unit, step);
    }
  }
}

// Adds up what the teams of a block have: d_weight of a lane's two packs, d_gain of its head.
template <int kN>
__device__ void write_sums(const Args& a, const Plan& plan, const Team& team, bool is_held,
                           const float (&of_a)[kN], const float (&of_b)[kN], float d_gain) {
  SharedMemory shared;
  auto* const all = shared.take<float>(plan.threads * 2 * kN);  // [team, channel of the lanes]
  auto* const gains = shared.take<float>(plan.threads);         // [team]
  const int span = plan.lanes * 2 * kN, teams = plan.threads / plan.lanes;
  const int mine = static_cast<int>(threadIdx.x) / plan.lanes;
  float* const row = a.parts + static_cast<int64_t>(blockIdx.x) * (a.head_dim + a.heads);
  const Unit<kN> unit(a, team.lane);
#pragma unroll
  for (int i = 0; i < kN; ++i) {
    if (unit.has_a && is_held) all[mine * span + unit.a + i] = of_a[i];
    if (unit.has_b && is_held) all[mine * span + unit.b + i] = of_b[i];
  }
  if (team.lane == 0) gains[mine] = team.valid ? d_gain : 0;
  __syncthreads();
  for (int64_t c = threadIdx.x; is_held && c < a.head_dim; c += plan.threads) {
    float sum = 0;
    for (int i = 0; i < teams; ++i) sum += all[i * span + c];
    row[c] = sum;
  }
  const int64_t first = team.head - team.head_in_block;  // of the block
  for (int64_t head = threadIdx.x; head < a.heads; head += plan.threads) {
    float sum = 0;
    if (head >= first && head < first + plan.heads) {
      for (int i = 0; i < plan.steps; ++i) sum += gains[i * plan.heads + head - first];
    }
    row[a.head_dim + head] = sum;
  }
}

// With u = R^T dy and h = x r w: d_gain = <u, h>, d_weight = gain u x r, and with g = gain u w
// dx = r (g - x r^2 mean(g x)).
template <class T, int kN>
__global__ void __launch_bounds__(kThreads) backward(Args a, Plan plan) {
  const Team team(a, plan);
  const int64_t units = (a.head_dim + 2 * kN - 1) / (2 * kN);
  const bool is_held = units <= plan.lanes;  // else a block has one team, its sums in memory
  const float share = 1.0F / static_cast<float>(a.head_dim);
  const float gain = team.valid && a.gain ? load_element(a.gain, a.gain_element, team.head) : 1;
  float* const row = a.parts + static_cast<int64_t>(blockIdx.x) * (a.head_dim + a.heads);
  float dw_a[kN] = {}, dw_b[kN] = {}, d_gain = 0;
  for (int64_t first = team.part * plan.steps; first < a.steps; first += plan.parts * plan.steps) {
    const int64_t step = first + team.step_in_block;
    const bool is_there = team.valid && step < a.steps;
    Held<T, kN> x, u;
    float w_a[kN], w_b[kN], squares = 0, product = 0;
    const auto read = [&](const Unit<kN>& unit) {
      Angles<kN> angles;
      x.load(a.x, a.x_stride, a, team, unit, step, is_there);
      u.load(a.dy, a.dy_stride, a, team, unit, step, is_there);
      angles.load(a, unit, step, is_there);
      load_weights(a, unit.a, is_there && unit.has_a, w_a);
      load_weights(a, unit.b, is_there && unit.has_b, w_b);
      angles.turn(a.interleaved, /*back=*/true, u.a, u.b);
    };
    for (int64_t from = 0; from < units; from += plan.lanes) {
      read(Unit<kN>(a, from + team.lane));
#pragma unroll
      for (int i = 0; i < kN; ++i) {
        squares += x.a[i] * x.a[i] + x.b[i] * x.b[i];
        product += u.a[i] * w_a[i] * x.a[i] + u.b[i] * w_b[i] * x.b[i];
      }
    }
    squares = sum_of_team(squares, plan.lanes);
    product = sum_of_team(product, plan.lanes);
    const float r = a.normalize ? rsqrtf(squares * share + a.eps) : 1;
    const float along = a.normalize ? r * r * gain * product * share : 0;
    d_gain += r * product;
    for (int64_t from = 0; from < units; from += plan.lanes) {
      const Unit<kN> unit(a, from + team.lane);
      if (!is_held) read(unit);
#pragma unroll
      for (int i = 0; i < kN; ++i) {
        const float new_a = gain * u.a[i] * x.a[i] * r, new_b = gain * u.b[i] * x.b[i] * r;
        u.a[i] = r * (gain * u.a[i] * w_a[i] - x.a[i] * along);
        u.b[i] = r * (gain * u.b[i] * w_b[i] - x.b[i] * along);
        dw_a[i] += new_a;
        dw_b[i] += new_b;
        const bool in_memory = !is_held && a.weight, is_first = first == team.part;
        if (in_memory && unit.has_a) row[unit.a + i] = new_a + (is_first ? 0 : row[unit.a + i]);
        if (in_memory && unit.has_b) row[unit.b + i] = new_b + (is_first ? 0 : row[unit.b + i]);
      }
      if (is_there) u.store(a.dx, a, team, unit, step);
    }
  }
  if (a.weight || a.gain) write_sums(a, plan, team, is_held, dw_a, dw_b, d_gain);
}

template <class T, int kN>
Status run(const Args& a, Stream stream, bool is_backward) {
  const int64_t units = (a.head_dim + 2 * kN - 1) / (2 * kN);
  Plan plan{};
  plan.lanes = 1;
  while (plan.lanes < kWarp && plan.lanes < units) plan.lanes *= 2;
  plan.threads = units > plan.lanes ? kWarp : kThreads;
  const int64_t teams = plan.threads / plan.lanes;
  plan.heads = static_cast<int>(std::min(a.heads, teams));
  plan.steps = static_cast<int>(teams / plan.heads);
  plan.across = (a.heads + plan.heads - 1) / plan.heads;
  const bool has_sums = is_backward && (a.weight || a.gain);
  const int64_t most = has_sums ? rope_parts(a.heads) : int64_t{16} * multiprocessors();
  plan.parts =
      std::min((a.steps + plan.steps - 1) / plan.steps, std::max<int64_t>(1, most / plan.across));
  SharedSize shared;
  if (has_sums) shared.add<float>(plan.threads * 2 * kN).add<float>(plan.threads);
  const Launch how{plan.across * plan.parts, plan.threads, shared.bytes(), stream};
  if (!is_backward) return launch(forward<T, kN>, "rope_forward", how, a, plan);
  const Status status = launch(backward<T, kN>, "rope_backward", how, a, plan);
  if (!status.ok() || !has_sums) return status;
  return sum_parts({a.parts,
                    plan.across * plan.parts,
                    a.head_dim + a.heads,
                    {a.d_weight, a.weight_element, a.head_dim},
                    {a.d_gain, a.gain_element, a.heads}},
                   stream);
}

template <class T, int kN>
bool fits(const Args& a) {
  const int64_t size = sizeof(T);
  return a.pairs % kN == 0 && a.head_dim % kN == 0 &&
         are_aligned(kN * static_cast<int>(sizeof(T)), {a.x, a.y, a.dy, a.dx},
                     {a.x_stride * size, a.dy_stride * size}) &&
         are_aligned(kN < 4 ? 4 * kN : 16, {a.cos, a.sin, a.weight}, {});
}

Status run(const Args& a, Stream stream, bool is_backward) {
  if (a.steps > INT32_MAX) return {"rope", "more than 2^31 - 1 steps"};
  return by_element(a.element, [&](auto zero) {
    using T = decltype(zero);
    constexpr int kWide = kWidePack<T>, kNarrow = 4 / static_cast<int>(sizeof(T));
    if (fits<T, kWide>(a)) return run<T, kWide>(a, stream, is_backward);
    if (fits<T, kNarrow>(a)) return run<T, kNarrow>(a, stream, is_backward);
    return run<T, 1>(a, stream, is_backward);
  });
}

}  // namespace

Status rope_forward(const RopeArgs& args, Stream stream) {
  return run(args, stream, false);
}

Status rope_backward(const RopeArgs& args, Stream stream) {
  return run(args, stream, true);
}

}  // namespace gamut::cuda
