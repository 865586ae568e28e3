// Shared memory and asynchronous copies of the running thread.
#include <sanitizer/asan_interface.h>

#include <cstring>

#include "cuda/emulation/copies.h"
#include "cuda/emulation/running.h"
#include "cuda/emulation/shared.h"

namespace gamut::cuda {
namespace emulation {
namespace {

void land(const Copy& copy) {
  running().touch(Touch::write, copy.to, copy.bytes, copy.code);
  if (copy.from == nullptr) {
    std::memset(copy.to, 0, copy.bytes);
  } else {
    std::memcpy(copy.to, copy.from, copy.bytes);
  }
}

void check_copy(const void* shared, const void* global, size_t bytes, bool valid,
                const Site& site) {
  const auto n = static_cast<int>(bytes);
  if (reinterpret_cast<uintptr_t>(shared) % bytes != 0 ||
      reinterpret_cast<uintptr_t>(global) % bytes != 0) {
    fail(site, "copy_async%d from %p to %p, of which one is not a multiple of %d", n, global,
         shared, n);
  }
  const std::string why = running().shared.misplaced(shared, bytes);
  if (!why.empty()) fail(site, "the destination of copy_async%d %s", n, why.c_str());
  if (valid && __asan_region_is_poisoned(const_cast<void*>(global), bytes) != nullptr) {
    fail(site, "the source of copy_async%d, %p, lies beyond the memory that was allocated", n,
         global);
  }
}

}  // namespace

void* take_shared(int number, size_t offset, size_t bytes, const Site& site) {
  std::string why;
  void* piece = running().shared.take(number, offset, bytes, why);
  if (piece == nullptr) fail(site, "%s", why.c_str());
  return piece;
}

void wait_for_copies(int groups_left) {
  Lane& lane = running().lane();
  const auto groups = static_cast<int>(lane.group_ends.size());
  if (groups <= groups_left) return;
  const auto last = lane.group_ends.begin() + (groups - groups_left);
  const size_t landed = *(last - 1);
  for (size_t i = 0; i < landed; ++i) land(lane.copies[i]);
  lane.copies.erase(lane.copies.begin(), lane.copies.begin() + static_cast<int64_t>(landed));
  lane.group_ends.erase(lane.group_ends.begin(), last);
  for (size_t& end : lane.group_ends) end -= landed;
}

void begin_copy(void* shared, const void* global, size_t bytes, bool valid, const Site& site) {
  check_copy(shared, global, bytes, valid, site);
  Block& block = running();
  const Copy copy{shared, valid ? global : nullptr, bytes, __builtin_return_address(0)};
  block.lane().copies.push_back(copy);
  if (block.shuffled() && block.random.below(2) == 0) {
    land(copy);
  } else {
    block.touch(Touch::write, shared, bytes, copy.code);
    std::memset(shared, 0xff, bytes);
  }
}

}  // namespace emulation

void copy_async_commit() {
  emulation::Lane& lane = emulation::running().lane();
  lane.group_ends.push_back(lane.copies.size());
}

}  // namespace gamut::cuda
