// Asynchronous copies. Their bytes land at the wait, or in a random order of threads some of them
// at once; until then the destination holds NaN.
#pragma once

#include "cuda/emulation/site.h"

namespace gamut::cuda {
namespace emulation {

void wait_for_copies(int groups_left);

}  // namespace emulation

void copy_async16(void* shared, const void* global, bool valid = true,
                  const emulation::Site& site = emulation::Site::here());
void copy_async_commit();

template <int kLeft>
void copy_async_wait() {
  emulation::wait_for_copies(kLeft);
}

}  // namespace gamut::cuda
