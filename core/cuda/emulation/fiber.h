// Stacks that a thread of the CPU changes between: Boost.Context's switch, with what
// AddressSanitizer has to be told about it.
#pragma once

#include <cstddef>

namespace gamut::cuda::emulation {

class Fiber {
 public:
  // The stack of the calling thread itself.
  Fiber() = default;
  // A stack of its own, below which lies a page that no one may touch; `body` is called at the
  // first switch to it and must not return.
  explicit Fiber(void (*body)());
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Goes on in `to`; returns when someone switches back to this one, which must be running.
  void switch_to(Fiber& to);
  // Forgets where this fiber stood: the next switch to it calls its body anew.
  void restart();

  const void* stack() const { return bottom_; }
  size_t stack_bytes() const { return size_; }

 private:
  static void arrive(void* left_context, void* left_fiber);

  void* context_ = nullptr;
  void* mapping_ = nullptr;
  const void* bottom_ = nullptr;
  size_t size_ = 0;
  void* fake_stack_ = nullptr;
  void (*body_)() = nullptr;
};

}  // namespace gamut::cuda::emulation
