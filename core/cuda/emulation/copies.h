// Asynchronous copies. Their bytes land at the wait, or in a random order of threads some of them
// at once; until then the destination holds NaN.
#pragma once

#include <cstddef>

#include "cuda/emulation/site.h"

namespace gamut::cuda {
namespace emulation {

void begin_copy(void* shared, const void* global, size_t bytes, bool valid, const Site& site);
void wait_for_copies(int groups_left);

}  // namespace emulation

inline void copy_async16(void* shared, const void* global, bool valid = true,
                         const emulation::Site& site = emulation::Site::here()) {
  emulation::begin_copy(shared, global, 16, valid, site);
}
inline void copy_async8(void* shared, const void* global, bool valid = true,
                        const emulation::Site& site = emulation::Site::here()) {
  emulation::begin_copy(shared, global, 8, valid, site);
}
inline void copy_async4(void* shared, const void* global, bool valid = true,
                        const emulation::Site& site = emulation::Site::here()) {
  emulation::begin_copy(shared, global, 4, valid, site);
}
void copy_async_commit();

template <int kLeft>
void copy_async_wait() {
  emulation::wait_for_copies(kLeft);
}

}  // namespace gamut::cuda
