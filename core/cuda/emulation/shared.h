// SharedMemory as kernels see it.
#pragma once

#include <cstddef>

#include "cuda/emulation/site.h"

namespace gamut::cuda {
namespace emulation {

void* take_shared(int number, size_t offset, size_t bytes, const Site& site);

}  // namespace emulation

class SharedMemory {
 public:
  template <class T>
  T* take(int count, const emulation::Site& site = emulation::Site::here()) {
    const size_t bytes = count * sizeof(T);
    void* piece = emulation::take_shared(number_++, offset_, bytes, site);
    offset_ += (bytes + 15) / 16 * 16;
    return static_cast<T*>(piece);
  }

 private:
  int number_ = 0;
  size_t offset_ = 0;
};

}  // namespace gamut::cuda
