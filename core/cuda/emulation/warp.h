// __syncthreads, __syncwarp, shuffles, votes and sums of a warp. A mask must name all lanes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cuda/emulation/block.h"

namespace gamut::cuda::emulation {

void sync_warp(unsigned mask, const Site& site);
// The bits that lane `source` brought.
uint64_t shuffle(const char* name, unsigned mask, uint64_t bits, int source, const Site& site);
// A bit for each lane whose `vote` is true.
unsigned ballot(const char* name, unsigned mask, bool vote, const Site& site);
enum class Reduction { add, min, max };
int64_t reduce(const char* name, unsigned mask, int64_t value, Reduction how, const Site& site);

template <class T>
T shuffle_value(const char* name, unsigned mask, T value, int source, const Site& site) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "shuffles move up to 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle(name, mask, bits, source, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

// The lane of this thread and the first of its segment of `width` lanes.
struct Segment {
  explicit Segment(int width)
      : lane(static_cast<int>(self->thread_index.x) % kLanes), first(lane / width * width) {}
  int lane, first;
};

}  // namespace gamut::cuda::emulation

// NOLINTBEGIN(bugprone-reserved-identifier): CUDA's names.
inline void __syncthreads(
    const gamut::cuda::emulation::Site& site = gamut::cuda::emulation::Site::here()) {
  gamut::cuda::emulation::meet("__syncthreads", 0, site);
}
inline int __syncthreads_count(int predicate, const gamut::cuda::emulation::Site& site =
                                                  gamut::cuda::emulation::Site::here()) {
  return static_cast<int>(
      gamut::cuda::emulation::meet("__syncthreads_count", predicate != 0 ? 1 : 0, site));
}
inline int __syncthreads_or(int predicate, const gamut::cuda::emulation::Site& site =
                                               gamut::cuda::emulation::Site::here()) {
  return gamut::cuda::emulation::meet("__syncthreads_or", predicate != 0 ? 1 : 0, site) != 0 ? 1
                                                                                             : 0;
}
inline int __syncthreads_and(int predicate, const gamut::cuda::emulation::Site& site =
                                                gamut::cuda::emulation::Site::here()) {
  return gamut::cuda::emulation::meet("__syncthreads_and", predicate == 0 ? 1 : 0, site) == 0 ? 1
                                                                                              : 0;
}

inline void __syncwarp(unsigned mask = 0xffffffff, const gamut::cuda::emulation::Site& site =
                                                       gamut::cuda::emulation::Site::here()) {
  gamut::cuda::emulation::sync_warp(mask, site);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              const gamut::cuda::emulation::Site& site = gamut::cuda::emulation::Site::here()) {
  const gamut::cuda::emulation::Segment segment(width);
  const int from = segment.first + (source & (width - 1));
  return gamut::cuda::emulation::shuffle_value("__shfl_sync", mask, value, from, site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 const gamut::cuda::emulation::Site& site = gamut::cuda::emulation::Site::here()) {
  const gamut::cuda::emulation::Segment segment(width);
  const int from = segment.lane - static_cast<int>(delta);
  return gamut::cuda::emulation::shuffle_value("__shfl_up_sync", mask, value,
                                               from < segment.first ? segment.lane : from, site);
}
template <class T>
T __shfl_down_sync(
    unsigned mask, T value, unsigned delta, int width = 32,
    const gamut::cuda::emulation::Site& site = gamut::cuda::emulation::Site::here()) {
  const gamut::cuda::emulation::Segment segment(width);
  const int from = segment.lane + static_cast<int>(delta);
  return gamut::cuda::emulation::shuffle_value(
      "__shfl_down_sync", mask, value, from >= segment.first + width ? segment.lane : from, site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  const gamut::cuda::emulation::Site& site = gamut::cuda::emulation::Site::here()) {
  const gamut::cuda::emulation::Segment segment(width);
  const int from = segment.lane ^ lane_mask;
  return gamut::cuda::emulation::shuffle_value(
      "__shfl_xor_sync", mask, value, from >= segment.first + width ? segment.lane : from, site);
}

inline unsigned __ballot_sync(
    unsigned mask, int predicate,
    const gamut::cuda::emulation::Site& site = gamut::cuda::emulation::Site::here()) {
  return gamut::cuda::emulation::ballot("__ballot_sync", mask, predicate != 0, site);
}
inline int __any_sync(
    unsigned mask, int predicate,
    const gamut::cuda::emulation::Site& site = gamut::cuda::emulation::Site::here()) {
  return gamut::cuda::emulation::ballot("__any_sync", mask, predicate != 0, site) != 0 ? 1 : 0;
}
inline int __all_sync(
    unsigned mask, int predicate,
    const gamut::cuda::emulation::Site& site = gamut::cuda::emulation::Site::here()) {
  return gamut::cuda::emulation::ballot("__all_sync", mask, predicate == 0, site) == 0 ? 1 : 0;
}

template <class T>
T __reduce_add_sync(
    unsigned mask, T value,
    const gamut::cuda::emulation::Site& site = gamut::cuda::emulation::Site::here()) {
  using gamut::cuda::emulation::Reduction;
  return static_cast<T>(
      gamut::cuda::emulation::reduce("__reduce_add_sync", mask, value, Reduction::add, site));
}
template <class T>
T __reduce_min_sync(
    unsigned mask, T value,
    const gamut::cuda::emulation::Site& site = gamut::cuda::emulation::Site::here()) {
  using gamut::cuda::emulation::Reduction;
  return static_cast<T>(
      gamut::cuda::emulation::reduce("__reduce_min_sync", mask, value, Reduction::min, site));
}
template <class T>
T __reduce_max_sync(
    unsigned mask, T value,
    const gamut::cuda::emulation::Site& site = gamut::cuda::emulation::Site::here()) {
  using gamut::cuda::emulation::Reduction;
  return static_cast<T>(
      gamut::cuda::emulation::reduce("__reduce_max_sync", mask, value, Reduction::max, site));
}
// NOLINTEND(bugprone-reserved-identifier)
