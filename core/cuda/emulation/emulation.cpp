#include "cuda/emulation/emulation.h"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <set>
#include <vector>

#include "cuda/emulation/running.h"
#include "cuda/launch.cuh"

namespace gamut::cuda::emulation {
namespace {

thread_local Order current_order;

// A Status holds bare pointers.
const char* kept(const std::string& text) {
  static std::mutex mutex;
  static std::set<std::string> texts;
  const std::lock_guard<std::mutex> lock(mutex);
  return texts.insert(text).first->c_str();
}

// What a GPU of the kinds that are supported would refuse, and what the emulator does not do.
const char* refusal(int64_t grid, int block, size_t shared) {
  constexpr size_t kMostShared = kLeastSharedMemory;
  if (grid < 0) return "a negative number of blocks";
  if (grid > INT32_MAX) return "more than 2^31 - 1 blocks";
  if (block < 1 || block > 1024) return "a block has 1 to 1024 threads";
  if (block % kLanes != 0)
    return "the emulator runs whole warps: blocks of a multiple of 32 threads";
  if (shared > kMostShared) return "a block has at most 163 KiB of shared memory";
  return nullptr;
}

std::vector<int64_t> block_order(int64_t grid, Order order) {
  std::vector<int64_t> blocks(grid);
  std::iota(blocks.begin(), blocks.end(), 0);
  if (order.seed == 0) return blocks;
  Random random(order.seed);
  for (int64_t i = grid - 1; i > 0; --i) {
    std::swap(blocks[i], blocks[random.below(static_cast<uint32_t>(i + 1))]);
  }
  return blocks;
}

}  // namespace

ScopedOrder::ScopedOrder(Order order) : before_(current_order) {
  current_order = order;
}

ScopedOrder::~ScopedOrder() {
  current_order = before_;
}

Status run(const char* name, int64_t grid, int block, size_t shared,
           const std::function<void()>& kernel) {
  if (const char* why = refusal(grid, block, shared)) return {name, why};
  const Kernel whole{name, grid, block, shared, kernel};
  Block& runner = running();
  ++runner.work.launches;
  for (const int64_t index : block_order(grid, current_order)) {
    if (!runner.run(whole, index, current_order)) {
      return {name, kept(runner.fault)};
    }
  }
  return {};
}

std::string order_dependence(const std::function<std::string()>& work, int shuffles) {
  const auto result_of = [&](uint64_t seed) {
    const ScopedOrder order({seed});
    return work();
  };
  const std::string expected = result_of(0);
  for (int seed = 1; seed <= shuffles; ++seed) {
    const std::string result = result_of(seed);
    if (result == expected) continue;
    if (result.size() != expected.size()) return "the number of result bytes depends on the order";
    const auto byte = std::mismatch(result.begin(), result.end(), expected.begin()).first;
    return "byte " + std::to_string(byte - result.begin()) + " of " +
           std::to_string(result.size()) +
           " of the results depends on the order of threads (seed " + std::to_string(seed) + ")";
  }
  return "";
}

Work work_done() {
  return running().work;
}

const KernelTable* emulated_kernels() {
  return gamut_cuda_kernels();
}

}  // namespace gamut::cuda::emulation
