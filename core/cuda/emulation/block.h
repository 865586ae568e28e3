// A block of threads that runs on one thread of the CPU: who runs, and where threads meet. The
// functions of device.h are built on it.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>

#include "cuda/emulation/site.h"

namespace gamut::cuda::emulation {

constexpr int kLanes = 32;

// What all lanes of a warp do together: called once, with what each of them brought.
using Collective = void (*)(void* const (&operands)[kLanes]);

// What the running thread may see of itself and its block.
struct Thread {
  uint3 thread_index{0, 0, 0}, block_index{0, 0, 0};
  dim3 block_size{1, 1, 1}, grid_size{1, 1, 1};
  uintptr_t stack_begin = 0, stack_bytes = 0;
};
extern __thread const Thread* self __attribute__((tls_model("initial-exec")));

// While one lives, the running thread's touches of memory are atomic.
class AtomicScope {
 public:
  AtomicScope();
  ~AtomicScope();
  AtomicScope(const AtomicScope&) = delete;
  AtomicScope& operator=(const AtomicScope&) = delete;
};

// Waits for all lanes of the warp; `operands` is where this one's are, read and written by
// whichever comes last. All must come from one line of the source.
void converge(const char* name, Collective complete, void* operands, const Site& site);

// Waits for all threads of the block; returns the sum of their `value`s.
int64_t meet(const char* name, int64_t value, const Site& site);

// Ends the launch with this message, after the names of kernel, block and thread.
[[noreturn]] __attribute__((format(printf, 2, 3))) void fail(const Site& site, const char* format,
                                                             ...);

}  // namespace gamut::cuda::emulation
