// Cross entropy and its gradient, row by row. A warp takes a row of up to a few thousand ids, a
// block a longer one. Each thread keeps the last logits that it read, so that a row of up to 1024
// ids (in 16 bits; 8192 for a block) is read once for loss and gradient together; longer rows are
// read again from their end, where the cache still has them.
//
// Logits are held times log2 e, so that exp and log are exp2 and log2.
#include "ops/cross_entropy/cuda/cross_entropy.h"

#include "cuda/math.cuh"
#include "cuda/pack.cuh"

namespace gamut::cuda {
namespace {

using Args = CrossEntropyArgs;

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int kPacks = 4;      // that a thread holds
constexpr int kWarpReads = 4;  // a warp takes rows that it reads in so many goes
constexpr float kLn2 = 0.6931471805599453F;
constexpr float kLowest = -1e38F;  // exp2 of it minus any logit is 0

// Maximum and sum over the threads of a row; with more than a warp, all of the block.
class Team {
 public:
  __device__ Team(int lanes, float* shared) : lanes_(lanes), shared_(shared) {}

  __device__ float largest(float x) {
    return reduce(x, [](float a, float b) { return fmaxf(a, b); });
  }
  __device__ float sum(float x) {
    return reduce(x, [](float a, float b) { return a + b; });
  }

 private:
  template <class Combine>
  __device__ float reduce(float x, const Combine& combine) {
    for (int step = kWarp / 2; step > 0; step /= 2) {
      x = combine(x, __shfl_xor_sync(0xffffffffU, x, step));
    }
    if (lanes_ == kWarp) return x;
    if (threadIdx.x % kWarp == 0) shared_[threadIdx.x / kWarp] = x;
    __syncthreads();
    x = shared_[0];
    for (int i = 1; i < kThreads / kWarp; ++i) x = combine(x, shared_[i]);
    __syncthreads();
    return x;
  }

  int lanes_;
  float* shared_;
};

// One row, of which this thread takes every `lanes`-th pack. Packs lie at multiples of 16 bytes;
// the row may begin and end inside of one.
template <class T>
class Row {
  static constexpr int kN = kWidePack<T>;

 public:
  __device__ Row(const Args& a, int64_t row, int lanes)
      : a_(a), logits_(static_cast<const T*>(a.logits) + row * a.ids), lanes_(lanes) {
    if (a.gradient) gradient_ = static_cast<T*>(a.gradient) + row * a.ids;
    ids_ = static_cast<int>(a.ids);
    before_ = static_cast<int>(reinterpret_cast<uintptr_t>(logits_) % 16 / sizeof(T));
    goes_ = (before_ + ids_ + kPacks * kN * lanes - 1) / (kPacks * kN * lanes);
  }

  // Times log2 e, capped.
  __device__ float capped(float x) const {
    if (!(a_.softcap > 0)) return x * kLog2E;
    // 1 - 2 / (e^2x + 1) is within 1e-7 of tanh x, absolutely: what a capped logit needs.
    const float e = exp2f(x * (2 * kLog2E / a_.softcap));
    return a_.softcap * kLog2E * (1.0F - __fdividef(2.0F, e + 1.0F));
  }

  __device__ float logit(int64_t id) const { return capped(to_float(logits_[id])); }

  // log2 sum exp2 of the row, and the sum of its logits. The last go stays in hand.
  __device__ float normalizer(Team& team, float& total) {
    float most = kLowest, terms = 0;
    total = 0;
    for (int go = 0; go < goes_; ++go) {
      read(go);
      const float before = most;
#pragma unroll
      for (int i = 0; i < kPacks * kN; ++i) most = fmaxf(most, z_[i]);
      terms *= exp2f(before - most);
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        if (first_of(go, j) < ids_) add(&z_[j * kN], first_of(go, j), most, terms, total);
      }
    }
    held_ = goes_ - 1;
    const float largest = team.largest(most);
    if (a_.label_smoothing > 0) total = team.sum(total);
    return largest + log2f(team.sum(terms * exp2f(most - largest)));
  }

  // factor (softmax(z) - (1 - s) [i = target] - s / ids), through the cap times 1 - (z / cap)^2.
  __device__ void differentiate(float normalizer, int target, float factor) {
    const float even = a_.label_smoothing / static_cast<float>(ids_);
    const float inverse = a_.softcap > 0 ? 1.0F / (a_.softcap * kLog2E) : 0.0F;
    for (int go = goes_ - 1; go >= 0; --go) {
      if (go != held_) read(go);
#pragma unroll
      for (int j = 0; j < kPacks; ++j) {
        const int first = first_of(go, j);
        if (first >= ids_) continue;
        float g[kN];
#pragma unroll
        for (int i = 0; i < kN; ++i) {
          const float z = z_[j * kN + i], part = z * inverse;
          const float slope = a_.softcap > 0 ? 1.0F - part * part : 1.0F;
          const float hit = first + i == target ? 1.0F - a_.label_smoothing : 0.0F;
          g[i] = factor * slope * (exp2f(z - normalizer) - even - hit);
        }
        write(g, first);
      }
    }
  }

  __device__ void clear() {
    const float zeros[kN] = {};
    for (int go = 0; go < goes_; ++go) {
#pragma unroll
      for (int j = 0; j < kPacks; ++j) write(zeros, first_of(go, j));
    }
  }

 private:
  // The first id of this thread's pack j in a go; below 0 where the row begins inside of the pack.
  __device__ int first_of(int go, int j) const {
    const int lane = static_cast<int>(threadIdx.x) % lanes_;
    return ((go * kPacks + j) * lanes_ + lane) * kN - before_;
  }

  __device__ bool is_whole(int first) const { return first >= 0 && first + kN <= ids_; }

  __device__ void read(int go) {
    Pack<T, kN> packs[kPacks];
#pragma unroll
    for (int j = 0; j < kPacks; ++j) {
      const int first = first_of(go, j);
      packs[j] = is_whole(first) ? load_pack<kN>(logits_ + first) : part(first);
    }
#pragma unroll
    for (int j = 0; j < kPacks; ++j) {
      float x[kN];
      unpack<T>(packs[j], x);
#pragma unroll
      for (int i = 0; i < kN; ++i) {
        const auto id = static_cast<unsigned>(first_of(go, j) + i);
        z_[j * kN + i] = id < static_cast<unsigned>(ids_) ? capped(x[i]) : kLowest;
      }
    }
  }

  __device__ Pack<T, kN> part(int first) const {
    T elements[kN] = {};
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      if (first + i >= 0 && first + i < ids_) elements[i] = logits_[first + i];
    }
    Pack<T, kN> pack;
    memcpy(&pack, elements, sizeof pack);
    return pack;
  }

  __device__ void add(const float* z, int first, float most, float& terms, float& total) const {
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      terms += exp2f(z[i] - most);
      const bool counts = first + i >= 0 && first + i < ids_;
      if (a_.label_smoothing > 0 && counts) total += z[i];
    }
  }

  __device__ void write(const float (&g)[kN], int first) {
    if (is_whole(first)) return store_pack<kN>(gradient_ + first, g);
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      if (first + i >= 0 && first + i < ids_) gradient_[first + i] = from_float<T>(g[i]);
    }
  }

  const Args& a_;
  const T* logits_;
  T* gradient_ = nullptr;
  int lanes_, ids_;
  int before_;     // ids of the first pack that are of the row before
  int goes_;       // in which the row is read
  int held_ = -1;  // the go in z_
  float z_[kPacks * kN];
};

__device__ float factor_of(const Args& a) {
  float factor = a.scale;
  if (a.d_loss) factor *= *a.d_loss;
  if (a.count) factor /= static_cast<float>(*a.count);
  return factor;
}

template <class T>
__global__ void __launch_bounds__(kThreads) cross_entropy_kernel(Args a, int lanes) {
  SharedMemory shared;
  Team team(lanes, shared.take<float>(kThreads / kWarp));
  const int64_t r =
      static_cast<int64_t>(blockIdx.x) * (kThreads / lanes) + static_cast<int>(threadIdx.x) / lanes;
  if (r >= a.rows) return;
  const bool is_first = static_cast<int>(threadIdx.x) % lanes == 0;
  const int64_t target = a.targets[r];
  Row<T> row(a, r, lanes);
  if (target == a.ignore_index) {
    if (a.losses && is_first) a.losses[r] = 0;
    if (a.losses && a.normalizers && is_first) a.normalizers[r] = 0;
    if (a.gradient) row.clear();
    return;
  }
  const bool is_id = target >= 0 && target < a.ids;
  float normalizer;
  if (a.losses) {
    const float of_target = is_id ? row.logit(target) : __int_as_float(0x7fffffff);
    float total;
    normalizer = row.normalizer(team, total);
    const float s = a.label_smoothing, mean = total / static_cast<float>(a.ids);
    if (is_first) a.losses[r] = (normalizer - (1.0F - s) * of_target - s * mean) * kLn2;
    if (is_first && a.normalizers) a.normalizers[r] = normalizer;
  } else {
    normalizer = a.normalizers[r];
  }
  if (!a.gradient) return;
  const float factor = is_id ? factor_of(a) : __int_as_float(0x7fffffff);
  __syncwarp();  // all lanes have read the target's logit, in whose place a gradient may be written
  row.differentiate(normalizer, static_cast<int>(target), factor);
}

}  // namespace

Status cross_entropy_rows(const CrossEntropyArgs& a, Stream stream) {
  const char* name = "cross_entropy";
  if (a.ids > (1 << 30)) return {name, "rows of more than 2^30 ids"};
  return by_element(a.element, [&](auto zero) {
    using T = decltype(zero);
    const int lanes = a.ids <= kWarpReads * kPacks * kWarp * kWidePack<T> ? kWarp : kThreads;
    const int rows = kThreads / lanes;
    const Launch how{(a.rows + rows - 1) / rows, kThreads,
                     SharedSize().add<float>(kThreads / kWarp).bytes(), stream};
    return launch(cross_entropy_kernel<T>, name, how, a, lanes);
  });
}

}  // namespace gamut::cuda
