// Memory that a thread keeps between calls.
#pragma once

#include <stdint.h>

#include <cstdlib>
#include <memory>
#include <new>

namespace gamut::ops {

// At least `size` floats from the beginning of a cache line on, with anything in them, until the
// thread's next call. They stay allocated until the thread ends.
inline float* thread_scratch(int64_t size) {
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  thread_local std::unique_ptr<float, Free> memory;
  thread_local int64_t capacity = 0;
  if (size > capacity) {
    memory.reset();
    capacity = 0;
    const int64_t rounded = (size + 1023) / 1024 * 1024;
    memory.reset(static_cast<float*>(std::aligned_alloc(64, rounded * sizeof(float))));
    if (!memory) throw std::bad_alloc();
    capacity = rounded;
  }
  return memory.get();
}

}  // namespace gamut::ops
