// Threads that go through the steps of a recurrence together.
#pragma once

#include <sched.h>
#include <stdint.h>

#include <atomic>

namespace gamut::ops {

// The members of one at::parallel_for over lanes 0 to n - 1: each takes the lanes it was given, and
// all wait for one another after every step. How many members there are is known only when the
// first has begun: a caller within a parallel region is alone with all lanes.
class Team {
 public:
  explicit Team(int64_t lanes) : lanes_(lanes) {}

  // The member that has lanes [begin, end).
  void join(int64_t begin, int64_t end) {
    if (begin == 0) members_.store((lanes_ + end - 1) / end, std::memory_order_release);
    for (int spins = 0; members_.load(std::memory_order_acquire) == 0;) pause(&spins);
  }

  // Returns when every member has come here once more.
  void wait() {
    const int64_t step = step_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_.load()) {
      arrived_.store(0, std::memory_order_relaxed);
      step_.store(step + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; step_.load(std::memory_order_acquire) == step;) pause(&spins);
  }

 private:
  static void pause(int* spins) {
    constexpr int kPatience = 4000;  // some 50 microseconds: steps take about as long
    if (++*spins < kPatience) {
      __builtin_ia32_pause();
    } else {
      sched_yield();
    }
  }

  const int64_t lanes_;
  std::atomic<int64_t> members_{0};
  alignas(64) std::atomic<int64_t> arrived_{0};
  alignas(64) std::atomic<int64_t> step_{0};
};

}  // namespace gamut::ops
