// Every load and store of emulated kernels: they are compiled with the calls of ThreadSanitizer,
// which the functions here answer. They check the address as AddressSanitizer does, then look for
// races.
#include <sanitizer/asan_interface.h>

#include <cstddef>
#include <cstdint>

#include "cuda/emulation/running.h"

namespace gamut::cuda::emulation {
namespace {

// Eight bytes of memory have one of the shadow: 0, or how many of them are allowed, or below 0.
constexpr uintptr_t kShadowed = 8;

const int8_t* shadow() {
  static __thread const int8_t* known __attribute__((tls_model("initial-exec"))) = nullptr;
  if (known == nullptr) {
    size_t scale = 0, offset = 0;
    __asan_get_shadow_mapping(&scale, &offset);
    known = reinterpret_cast<const int8_t*>(offset);  // NOLINT(performance-no-int-to-ptr)
  }
  return known;
}

bool poisoned(void* place, size_t bytes) {
  const auto address = reinterpret_cast<uintptr_t>(place);
  if (address % kShadowed + bytes > kShadowed) {
    return __asan_region_is_poisoned(place, bytes) != nullptr;
  }
  const int8_t allowed = shadow()[address / kShadowed];
  return allowed != 0 && static_cast<int8_t>(address % kShadowed + bytes) > allowed;
}

}  // namespace

// `code` is the instruction after the access, `frame` the caller's. Many calls are for
// threadIdx.
inline __attribute__((always_inline)) void accessed(Touch kind, void* address, size_t bytes,
                                                    void* code, void* frame) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  const Thread* thread = self;
  if (at - reinterpret_cast<uintptr_t>(thread) < sizeof(Thread) ||
      address == static_cast<void*>(&self)) {
    return;
  }
  if (poisoned(address, bytes)) {
    __asan_report_error(code, frame, frame, address, kind == Touch::write ? 1 : 0, bytes);
  }
  if (thread == nullptr) return;  // the host's part of a source
  if (at - thread->stack_begin < thread->stack_bytes) return;
  running().touch(kind, address, bytes, code);
}

}  // namespace gamut::cuda::emulation

// NOLINTBEGIN(bugprone-reserved-identifier): the sanitizer's names.
#define GAMUT_ACCESSED(kind, bytes)                                                     \
  gamut::cuda::emulation::accessed(gamut::cuda::emulation::Touch::kind, address, bytes, \
                                   __builtin_return_address(0), __builtin_frame_address(0))
#define GAMUT_ACCESS(bytes)                                      \
  extern "C" void __tsan_read##bytes(void* address) {            \
    GAMUT_ACCESSED(read, bytes);                                 \
  }                                                              \
  extern "C" void __tsan_write##bytes(void* address) {           \
    GAMUT_ACCESSED(write, bytes);                                \
  }                                                              \
  extern "C" void __tsan_unaligned_read##bytes(void* address) {  \
    GAMUT_ACCESSED(read, bytes);                                 \
  }                                                              \
  extern "C" void __tsan_unaligned_write##bytes(void* address) { \
    GAMUT_ACCESSED(write, bytes);                                \
  }
GAMUT_ACCESS(1)
GAMUT_ACCESS(2)
GAMUT_ACCESS(4)
GAMUT_ACCESS(8)
GAMUT_ACCESS(16)

extern "C" void __tsan_read_range(void* address, size_t bytes) {
  GAMUT_ACCESSED(read, bytes);
}
extern "C" void __tsan_write_range(void* address, size_t bytes) {
  GAMUT_ACCESSED(write, bytes);
}
extern "C" void __tsan_init() {}
// NOLINTEND(bugprone-reserved-identifier)
