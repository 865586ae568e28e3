// The norms: a team of lanes, from one to a block, has one group of one row in registers, so that
// it is read once. Groups of more than a block holds are read twice, the second time from cache.
// Both sums of the backward pass are made at once: the scale is computed again, not kept.
#include "ops/norm/cuda/norm.h"

#include <type_traits>

#include "cuda/math.cuh"
#include "cuda/pack.cuh"
#include "cuda/part_sums.cuh"

namespace gamut::cuda {
namespace {

using Args = NormArgs;

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int kWarps = kThreads / kWarp;

// Which group a block works on, at which rows, and where in it a thread is.
struct Team {
  int lanes, lane, index, count;  // of one team; teams of the block
  int64_t group, part, parts;     // the block is the part-th of those of its group

  __device__ Team(const Args& a, int lanes_of_team)
      : lanes(lanes_of_team),
        lane(static_cast<int>(threadIdx.x) % lanes_of_team),
        index(static_cast<int>(threadIdx.x) / lanes_of_team),
        count(kThreads / lanes_of_team),
        group(blockIdx.x % static_cast<uint32_t>(a.groups)),
        part(blockIdx.x / static_cast<uint32_t>(a.groups)),
        parts(gridDim.x / static_cast<uint32_t>(a.groups)) {}
};

// The sums over each team, in a fixed order. Teams of several warps meet in shared memory: two
// places, used by turns, spare a second barrier.
class TeamSums {
 public:
  static void add_size(SharedSize& size) { size.add<float2>(2 * kWarps); }
  __device__ explicit TeamSums(SharedMemory& shared) : sums_(shared.take<float2>(2 * kWarps)) {}

  __device__ float2 operator()(float2 mine, const Team& team) {
    for (int apart = min(team.lanes, kWarp) / 2; apart > 0; apart /= 2) {
      mine.x += __shfl_xor_sync(0xffffffffU, mine.x, apart);
      mine.y += __shfl_xor_sync(0xffffffffU, mine.y, apart);
    }
    if (team.lanes <= kWarp) return mine;
    const int warp = static_cast<int>(threadIdx.x) / kWarp, warps = team.lanes / kWarp;
    turn_ = kWarps - turn_;
    if (threadIdx.x % kWarp == 0) sums_[turn_ + warp] = mine;
    __syncthreads();
    mine = make_float2(0, 0);
    for (int i = 0; i < warps; ++i) {
      const float2 other = sums_[turn_ + team.index * warps + i];
      mine.x += other.x;
      mine.y += other.y;
    }
    return mine;
  }

 private:
  float2* sums_;
  int turn_ = 0;
};

__device__ float scale_of(const Args& a, float squares) {
  if (!a.clamp) return rsqrtf(squares * a.share + a.eps);
  const float r = rsqrtf(squares * a.share), most = __fdividef(1.0F, a.eps);
  return r > most ? most : r;  // NaN stays NaN
}

// What a thread holds of a group: kPacks of kN elements, from column `base` on. A gate of another
// type than T (kMixed, then kN is 1) is held in float32.
template <class T, int kN, int kPacks, bool kMixed>
struct Held {
  using G = std::conditional_t<kMixed, float, T>;

  Pack<T, kN> x[kPacks], dy[kPacks];
  Pack<G, kN> gate[kPacks];

  __device__ static int64_t column(const Team& team, int64_t base, int j) {
    return base + static_cast<int64_t>(j * team.lanes + team.lane) * kN;
  }
  __device__ static bool is_there(const Args& a, const Team& team, int64_t row, int64_t base,
                                  int j) {
    return row < a.rows && column(team, base, j) < a.size;
  }

  __device__ void load(const Args& a, const Team& team, int64_t row, int64_t base) {
    const auto* const x_row = static_cast<const T*>(a.x) + row * a.x_stride;
    const auto* const dy_row = static_cast<const T*>(a.dy) + row * a.dy_stride;
    const auto* const gate_row = static_cast<const T*>(a.gate) + row * a.gate_stride;
#pragma unroll
    for (int j = 0; j < kPacks; ++j) {
      const int64_t at = team.group * a.size + column(team, base, j);
      const bool valid = is_there(a, team, row, base, j);
      x[j] = load_pack_if<kN>(valid, x_row + at);
      if (a.dy) dy[j] = load_pack_if<kN>(valid, dy_row + at);
      if (!a.gate) continue;
      if constexpr (kMixed) {
        const int64_t from = row * a.gate_stride + at;
        gate[j] = valid ? __float_as_uint(load_element(a.gate, a.gate_element, from)) : 0;
      } else {
        gate[j] = load_pack_if<kN>(valid, gate_row + at);
      }
    }
  }

  // The weights of pack j, ones where there are none.
  __device__ static void weights(const Args& a, const Team& team, int64_t base, int j,
                                 float (&w)[kN]) {
    const int64_t from = column(team, base, j), at = team.group * a.size + from;
    const bool valid = a.weight && from < a.size;
    if (valid && a.weight_element == Element::float32) {
      load_floats(static_cast<const float*>(a.weight) + at, w);
      return;
    }
    if (valid && !kMixed) return unpack<T>(load_pack<kN>(static_cast<const T*>(a.weight) + at), w);
#pragma unroll
    for (int i = 0; i < kN; ++i) w[i] = valid ? load_element(a.weight, a.weight_element, at) : 1;
  }
};

template <class T, int kN, int kPacks, bool kMixed>
__global__ void __launch_bounds__(kThreads) forward(Args a, int lanes) {
  using Mine = Held<T, kN, kPacks, kMixed>;
  SharedMemory shared;
  TeamSums sums(shared);
  const Team team(a, lanes);
  const int64_t span = static_cast<int64_t>(lanes) * kPacks * kN, d = a.groups * a.size;
  Mine mine;
  for (int64_t first = team.part * team.count; first < a.rows; first += team.parts * team.count) {
    const int64_t row = first + team.index;
    float u[kPacks][kN], squares = 0;
    const auto read = [&](int64_t base) {
      mine.load(a, team, row, base);
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        float gate[kN];
        unpack<T>(mine.x[j], u[j]);
        if (!a.gate_first) continue;
        unpack<typename Mine::G>(mine.gate[j], gate);
#pragma unroll
        for (int i = 0; i < kN; ++i) u[j][i] *= silu(gate[i]);
      }
    };
    for (int64_t base = 0; base < a.size; base += span) {
      read(base);
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
#pragma unroll
        for (int i = 0; i < kN; ++i) squares += u[j][i] * u[j][i];
      }
    }
    const float r = scale_of(a, sums(make_float2(squares, 0), team).x);
    for (int64_t base = 0; base < a.size; base += span) {
      if (span < a.size) read(base);
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        float w[kN], gate[kN];
        Mine::weights(a, team, base, j, w);
#pragma unroll
        for (int i = 0; i < kN; ++i) u[j][i] *= r * w[i];
        if (a.gate && !a.gate_first) {
          unpack<typename Mine::G>(mine.gate[j], gate);
#pragma unroll
          for (int i = 0; i < kN; ++i) u[j][i] *= silu(gate[i]);
        }
        auto* const y = static_cast<T*>(a.y) + row * d + team.group * a.size;
        if (Mine::is_there(a, team, row, base, j)) {
          store_pack<kN>(y + Mine::column(team, base, j), u[j]);
        }
      }
    }
  }
}

// One pack of the backward pass: x, gate and dy as floats, and what they become.
template <int kN>
struct Gradients {
  float x[kN], gate[kN], dy[kN], w[kN];
  float u[kN];     // what is normalised
  float to[kN];    // gradient of u r w
  float open[kN];  // silu(gate)

  template <class Mine, class T>
  __device__ void prepare(const Args& a, const Mine& mine, const Team& team, int64_t base, int j,
                          T /*element*/) {
    unpack<T>(mine.x[j], x);
    unpack<T>(mine.dy[j], dy);
    Mine::weights(a, team, base, j, w);
    if (a.gate) unpack<typename Mine::G>(mine.gate[j], gate);
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      open[i] = a.gate ? silu(gate[i]) : 1;
      u[i] = a.gate_first ? x[i] * open[i] : x[i];
      to[i] = a.gate_first ? dy[i] : dy[i] * open[i];
    }
  }

  // x and gate become their gradients, w that of the weight; r is the scale of the row and `mean`
  // that of <gradient of u r, u r>.
  __device__ void finish(const Args& a, float r, float mean) {
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      const float normal = u[i] * r, du = (to[i] * w[i] - normal * mean) * r;
      if (a.gate) {
        const float slope = silu_slope(gate[i], sigmoid(gate[i]));
        gate[i] = slope * (a.gate_first ? du * x[i] : dy[i] * normal * w[i]);
      }
      x[i] = a.gate_first ? du * open[i] : du;
      w[i] = to[i] * normal;
    }
  }
};

template <class T, int kN, int kPacks, bool kMixed>
__global__ void __launch_bounds__(kThreads) backward(Args a, int lanes) {
  using Mine = Held<T, kN, kPacks, kMixed>;
  SharedMemory shared;
  TeamSums sums(shared);
  const Team team(a, lanes);
  const int64_t span = static_cast<int64_t>(lanes) * kPacks * kN, d = a.groups * a.size;
  float* const part = a.parts + team.part * d + team.group * a.size;
  float d_weight[kPacks][kN] = {};
  Mine mine;
  Gradients<kN> pack;
  for (int64_t first = team.part * team.count; first < a.rows; first += team.parts * team.count) {
    const int64_t row = first + team.index;
    float2 sum = make_float2(0, 0);
    for (int64_t base = 0; base < a.size; base += span) {
      mine.load(a, team, row, base);
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        pack.prepare(a, mine, team, base, j, T());
#pragma unroll
        for (int i = 0; i < kN; ++i) {
          sum.x += pack.u[i] * pack.u[i];
          sum.y += pack.to[i] * pack.w[i] * pack.u[i];
        }
      }
    }
    sum = sums(sum, team);
    const float r = scale_of(a, sum.x);
    // A clamped r does not depend on x.
    const float mean = a.clamp && r == __fdividef(1.0F, a.eps) ? 0 : r * sum.y * a.share;
    for (int64_t base = 0; base < a.size; base += span) {
      if (span < a.size) mine.load(a, team, row, base);
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        const int64_t column = Mine::column(team, base, j);
        const int64_t place = row * d + team.group * a.size + column;
        pack.prepare(a, mine, team, base, j, T());
        pack.finish(a, r, mean);
        if (!Mine::is_there(a, team, row, base, j)) continue;
        store_pack<kN>(static_cast<T*>(a.dx) + place, pack.x);
        if constexpr (kMixed) {
          store_element(a.d_gate, a.gate_element, place, pack.gate[0]);
        } else {
          if (a.gate) store_pack<kN>(static_cast<T*>(a.d_gate) + place, pack.gate);
        }
        if (!a.weight) continue;
        // A group that a block does not hold has its sums in memory; a column is one thread's.
        const bool is_held = span >= a.size, is_first = first == team.part;
#pragma unroll
        for (int i = 0; i < kN; ++i) {
          if (is_held) d_weight[j][i] += pack.w[i];
          if (!is_held) part[column + i] = pack.w[i] + (is_first ? 0 : part[column + i]);
        }
      }
    }
  }
  if (!a.weight || span < a.size) return;
  auto* const all = shared.take<float>(kThreads * kPacks * kN);  // [team, column]
#pragma unroll
  for (int j = 0; j < kPacks; ++j) {
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      all[team.index * span + Mine::column(team, 0, j) + i] = d_weight[j][i];
    }
  }
  __syncthreads();
  for (int64_t column = threadIdx.x; column < a.size; column += kThreads) {
    float sum = 0;
    for (int i = 0; i < team.count; ++i) sum += all[i * span + column];
    part[column] = sum;
  }
}

template <class T, int kN, int kPacks, bool kMixed>
Status run(const Args& a, Stream stream, bool is_backward) {
  const int64_t packs = (a.size + kN - 1) / kN;
  int lanes = 1;
  while (lanes < kThreads && lanes * kPacks < packs) lanes *= 2;
  const int64_t rows = kThreads / lanes;  // of a block at a time
  const int64_t needed = (a.rows + rows - 1) / rows;
  SharedSize shared;
  TeamSums::add_size(shared);
  if (!is_backward) {
    const int64_t most = std::max<int64_t>(1, 16L * multiprocessors() / a.groups);
    const Launch how{std::min(needed, most) * a.groups, kThreads, shared.bytes(), stream};
    return launch(forward<T, kN, kPacks, kMixed>, "norm_forward", how, a, lanes);
  }
  const int64_t parts = std::min(needed, norm_parts(a.rows, a.groups));
  if (a.weight) shared.add<float>(kThreads * kPacks * kN);
  const Launch how{(a.weight ? parts : needed) * a.groups, kThreads, shared.bytes(), stream};
  const Status status = launch(backward<T, kN, kPacks, kMixed>, "norm_backward", how, a, lanes);
  if (!status.ok() || !a.weight) return status;
  const int64_t d = a.groups * a.size;
  return sum_parts({a.parts, parts, d, {a.d_weight, a.weight_element, d}, {}}, stream);
}

template <class T>
Status run(const Args& a, Stream stream, bool is_backward) {
  if (a.gate && a.gate_element != a.element) return run<T, 1, 4, true>(a, stream, is_backward);
  const auto fits = [&](int bytes) {
    const int64_t size = sizeof(T), distance = a.rows == 1 ? 0 : size;
    return are_aligned(bytes, {a.x, a.gate, a.weight, a.y, a.dy, a.dx, a.d_gate},
                       {a.x_stride * distance, a.gate_stride * distance, a.dy_stride * distance,
                        a.size * size}) &&
           (!a.weight || a.weight_element == a.element || a.weight_element == Element::float32);
  };
  if (fits(16)) {
    return run<T, kWidePack<T>, 2, false>(a, stream, is_backward);
  }
  if (fits(4)) return run<T, 4 / sizeof(T), 4, false>(a, stream, is_backward);
  return run<T, 1, 4, false>(a, stream, is_backward);
}

Status run(const Args& a, Stream stream, bool is_backward) {
  return by_element(a.element,
                    [&](auto zero) { return run<decltype(zero)>(a, stream, is_backward); });
}

}  // namespace

Status norm_forward(const NormArgs& args, Stream stream) {
  return run(args, stream, false);
}

Status norm_backward(const NormArgs& args, Stream stream) {
  return run(args, stream, true);
}

}  // namespace gamut::cuda
