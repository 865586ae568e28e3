// What callers of emulated kernels set and see: the order of threads, and the table of kernels.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "cuda/table.h"

namespace gamut::cuda::emulation {

// How the threads of a block take turns. Between two points where threads meet, one runs at a time.
struct Order {
  // By their numbers, warp after warp, if 0. Otherwise the seed by which blocks, warps and lanes
  // are drawn, as is the time at which asynchronous copies land.
  uint64_t seed = 0;
};

// Sets the order of the launches of this thread until it goes out of scope.
class ScopedOrder {
 public:
  explicit ScopedOrder(Order order);
  ~ScopedOrder();
  ScopedOrder(const ScopedOrder&) = delete;
  ScopedOrder& operator=(const ScopedOrder&) = delete;

 private:
  Order before_;
};

// Runs `work`, which returns the bytes of its results, by number and in `shuffles` random orders.
// Returns "" if the bytes are always the same, otherwise a sentence with the first that differs.
std::string order_dependence(const std::function<std::string()>& work, int shuffles = 4);

// Kernels that ran in this process, blocks and matrix instructions.
struct Work {
  int64_t launches = 0, blocks = 0, switches = 0, matrix_products = 0;
};
Work work_done();

// The table of all kernels as compiled for emulation.
const KernelTable* emulated_kernels();

}  // namespace gamut::cuda::emulation
