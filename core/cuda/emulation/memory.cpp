// Shared memory and asynchronous copies of the running thread.
#include <sanitizer/asan_interface.h>

#include <cstring>

#include "cuda/emulation/copies.h"
#include "cuda/emulation/running.h"
#include "cuda/emulation/shared.h"

namespace gamut::cuda {
namespace emulation {
namespace {

constexpr size_t kCopy = 16;  // bytes

void land(const Copy& copy) {
  if (copy.from == nullptr) {
    std::memset(copy.to, 0, kCopy);
  } else {
    std::memcpy(copy.to, copy.from, kCopy);
  }
}

void check_copy(const void* shared, const void* global, bool valid, const Site& site) {
  if (reinterpret_cast<uintptr_t>(shared) % kCopy != 0 ||
      reinterpret_cast<uintptr_t>(global) % kCopy != 0) {
    fail(site, "copy_async16 from %p to %p, of which one is not a multiple of 16", global, shared);
  }
  const std::string why = running().shared.misplaced(shared, kCopy);
  if (!why.empty()) fail(site, "the destination of copy_async16 %s", why.c_str());
  if (valid && __asan_region_is_poisoned(const_cast<void*>(global), kCopy) != nullptr) {
    fail(site, "the source of copy_async16, %p, lies beyond the memory that was allocated", global);
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

}  // namespace emulation

void copy_async16(void* shared, const void* global, bool valid, const emulation::Site& site) {
  emulation::check_copy(shared, global, valid, site);
  emulation::Block& block = emulation::running();
  const emulation::Copy copy{shared, valid ? global : nullptr};
  block.lane().copies.push_back(copy);
  if (block.shuffled() && block.random.below(2) == 0) {
    emulation::land(copy);
  } else {
    std::memset(shared, 0xff, emulation::kCopy);
  }
}

void copy_async_commit() {
  emulation::Lane& lane = emulation::running().lane();
  lane.group_ends.push_back(lane.copies.size());
}

}  // namespace gamut::cuda
