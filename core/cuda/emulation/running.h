// The state of the block that runs on this thread of the CPU: for the parts of the emulator only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cuda/emulation/block.h"
#include "cuda/emulation/emulation.h"
#include "cuda/emulation/fiber.h"
#include "cuda/emulation/random.h"
#include "cuda/emulation/shared_arena.h"

namespace gamut::cuda::emulation {

struct Copy {
  void* to;
  const void* from;  // null: zeros
};

// One thread of the block.
struct Lane : Thread {
  explicit Lane(void (*body)()) : fiber(body) {}

  int number() const { return static_cast<int>(thread_index.x); }

  Fiber fiber;
  bool left = true;                // has returned from the kernel
  std::vector<Copy> copies;        // asynchronous ones under way, the oldest first
  std::vector<size_t> group_ends;  // closed groups: the counts of copies up to each one's end
};

struct Warp {
  uint32_t ready = 0;  // lanes that may run
  int arrived = 0, at_barrier = 0, left = 0;
  const Collective* collective = nullptr;
  Site site;
  int first = 0;  // the lane that came first
  void* operands[kLanes] = {};
};

class Block {
 public:
  Block();

  // Runs all threads of one block to their ends. False: one failed, `fault` says how.
  bool run(const std::function<void()>& kernel, int64_t index, int64_t blocks, int threads,
           size_t shared_bytes, Order order);

  void converge(const Collective& collective, void* operands, const Site& site);
  int64_t meet(const char* name, int64_t value, const Site& site);
  [[noreturn]] void fail(const std::string& message);

  Lane& lane() { return *lane_; }
  bool shuffled() const { return shuffled_; }

  std::string fault;
  SharedArena shared;
  Random random;
  Work work;

 private:
  static void lane_body();
  void start(int64_t index, int64_t blocks, int threads);
  Lane& next();
  void wait();
  void leave();
  void open_barrier();
  Warp& warp() { return warps_[lane_->number() / kLanes]; }

  std::vector<std::unique_ptr<Lane>> lanes_;  // of the largest block so far
  std::vector<Warp> warps_;
  Fiber main_;
  const std::function<void()>* kernel_ = nullptr;
  Lane* lane_ = nullptr;  // the one that runs
  int warp_number_ = 0;
  uint32_t ready_warps_ = 0;
  int threads_ = 0, left_ = 0;
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
