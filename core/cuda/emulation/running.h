// The state of the block that runs on this thread of the CPU: for the parts of the emulator only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cuda/emulation/block.h"
#include "cuda/emulation/emulation.h"
#include "cuda/emulation/fiber.h"
#include "cuda/emulation/races.h"
#include "cuda/emulation/random.h"
#include "cuda/emulation/shared_arena.h"

namespace gamut::cuda::emulation {

struct Copy {
  void* to;
  const void* from;  // null: zeros
  size_t bytes;
  const void* code;  // that asked for it
};

// One thread of the block.
struct Lane : Thread {
  explicit Lane(void (*body)()) : fiber(body) {
    stack_begin = reinterpret_cast<uintptr_t>(fiber.stack());
    stack_bytes = fiber.stack_bytes();
  }

  int number() const { return static_cast<int>(thread_index.x); }

  Fiber fiber;
  bool left = true;                // has returned from the kernel
  bool atomic = false;             // is in an AtomicScope
  std::vector<Copy> copies;        // asynchronous ones under way, the oldest first
  std::vector<size_t> group_ends;  // closed groups: the counts of copies up to each one's end
};

struct Warp {
  uint32_t ready = 0;  // lanes that may run
  int arrived = 0, at_barrier = 0, left = 0;
  uint32_t syncs = 0;
  Collective complete = nullptr;  // what those who have arrived wait for
  const char* name = nullptr;
  Site site;
  int first = 0;  // the thread that came first
  void* operands[kLanes] = {};
};

struct Kernel {
  const char* name;
  int64_t blocks;
  int threads;
  size_t shared_bytes;
  const std::function<void()>& call;  // of every thread
};

class Block {
 public:
  // Runs all threads of one block to their ends. False: one failed, `fault` says how.
  bool run(const Kernel& kernel, int64_t index, Order order);

  void converge(const char* name, Collective complete, void* operands, const Site& site);
  int64_t meet(const char* name, int64_t value, const Site& site);
  // The running thread reads or writes; fails if another one's access is not ordered with it.
  void touch(Touch kind, const void* address, size_t bytes, const void* code);
  // The warp of the running thread has met at __syncwarp.
  void synced() { ++warp().syncs; }
  [[noreturn]] void fail(const std::string& message);

  Lane& lane() { return *lane_; }
  // "In kernel `x`, block 0, thread 1"; "" when none runs.
  std::string whereabouts() const;
  bool shuffled() const { return shuffled_; }

  std::string fault;
  SharedArena shared;
  Races races;
  Random random;
  Work work;

 private:
  static void lane_body();
  void start(int64_t index);
  Lane& next();
  void wait();
  void leave();
  void open_barrier();
  Warp& warp() { return warps_[lane_->number() / kLanes]; }

  std::vector<std::unique_ptr<Lane>> lanes_;  // of the largest block so far
  std::vector<Warp> warps_;
  Fiber main_;
  const Kernel* kernel_ = nullptr;
  Lane* lane_ = nullptr;  // the one that runs
  int warp_number_ = 0;
  uint32_t ready_warps_ = 0, epoch_ = 0;
  int left_ = 0;
  bool shuffled_ = false;

  struct {
    const char* name = nullptr;
    Site site;
    int first = 0, arrived = 0;
    int64_t sum = 0, result = 0;
  } barrier_;
};

// The block of the calling thread of the CPU.
Block& running();

}  // namespace gamut::cuda::emulation
