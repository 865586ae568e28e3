#include "cuda/emulation/fiber.h"

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>
#include <new>

namespace gamut::cuda::emulation {
namespace {

namespace context = boost::context::detail;

// Kernels compiled -O1 with sanitizers use some KiB; a report of AddressSanitizer needs more.
constexpr size_t kStack = size_t{128} << 10;
constexpr size_t kGuard = size_t{4} << 10;

}  // namespace

// The plain switch and not boost::context::fiber: a fault leaves the stacks of all threads of a
// block as they stand, which that class would unwind by exceptions through the kernel.
Fiber::Fiber(void (*body)()) : size_(kStack), body_(body) {
  mapping_ = ::mmap(nullptr, kStack + kGuard, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED) throw std::bad_alloc();
  ::mprotect(mapping_, kGuard, PROT_NONE);
  bottom_ = static_cast<char*>(mapping_) + kGuard;
  restart();
}

Fiber::~Fiber() {
  if (mapping_ == nullptr) return;
  __asan_unpoison_memory_region(bottom_, size_);
  ::munmap(mapping_, kStack + kGuard);
}

void Fiber::restart() {
  __asan_unpoison_memory_region(bottom_, size_);
  fake_stack_ = nullptr;
  // The switch hands over the fiber that is left, and that one holds which is entered.
  const auto enter = [](context::transfer_t from) {
    auto* pair = static_cast<Fiber**>(from.data);
    Fiber* entered = pair[1];
    arrive(from.fctx, pair[0]);
    entered->body_();
  };
  const auto* top = static_cast<const char*>(bottom_) + size_;
  context_ = context::make_fcontext(const_cast<char*>(top), size_, enter);
}

void Fiber::arrive(void* left_context, void* left_fiber) {
  auto* left = static_cast<Fiber*>(left_fiber);
  left->context_ = left_context;
  __sanitizer_finish_switch_fiber(nullptr, &left->bottom_, &left->size_);
}

void Fiber::switch_to(Fiber& to) {
  Fiber* pair[2] = {this, &to};
  __sanitizer_start_switch_fiber(&fake_stack_, to.bottom_, to.size_);
  const auto from = context::jump_fcontext(to.context_, static_cast<void*>(pair));
  Fiber* left = static_cast<Fiber**>(from.data)[0];
  left->context_ = from.fctx;
  __sanitizer_finish_switch_fiber(fake_stack_, &left->bottom_, &left->size_);
}

}  // namespace gamut::cuda::emulation
