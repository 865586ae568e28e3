#include "script/tensor_allocator.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <list>
#include <mutex>
#include <unordered_map>

namespace gamut::script {
namespace {

constexpr size_t kLarge = size_t{1} << 20;
constexpr size_t kHugePage = size_t{1} << 21;  // blocks begin at such addresses
constexpr size_t kSpare = size_t{64} << 20;

struct Block {
  void* address;
  size_t size;
};

// Rounds up to a multiple of an eighth of the power of two below.
size_t size_class(size_t n) {
  size_t step = kLarge / 8;
  while (step * 16 <= n) step *= 2;
  return (n + step - 1) / step * step;
}

// nullptr when there is no memory.
void* map(size_t size) {
  const size_t reserved = size + kHugePage;
  void* start = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(start) % kHugePage) % kHugePage;
  auto* const block = static_cast<char*>(start) + before;
  if (before > 0) munmap(start, before);
  if (const size_t after = reserved - before - size) munmap(block + size, after);
  madvise(block, size, MADV_HUGEPAGE);  // a hint: the block is as good without
  return block;
}

class Blocks {
 public:
  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const size_t size = size_class(bytes);
    void* block = reuse(size);
    if (!block) block = map_within_bounds(size);
    used_.emplace(block, size);
    return block;
  }

  // False when the block is none of ours.
  bool give(void* block) {
    const std::lock_guard lock(mutex_);
    const auto entry = used_.find(block);
    if (entry == used_.end()) return false;
    kept_.push_front({block, entry->second});
    memory_.in_use -= entry->second;
    memory_.kept += entry->second;
    used_.erase(entry);
    return true;
  }

  void release() {
    const std::lock_guard lock(mutex_);
    while (!kept_.empty()) drop();
  }

  TensorMemory memory() {
    const std::lock_guard lock(mutex_);
    return memory_;
  }

 private:
  void* reuse(size_t size) {
    const auto fits = [size](const Block& block) { return block.size == size; };
    const auto found = std::find_if(kept_.begin(), kept_.end(), fits);
    if (found == kept_.end()) return nullptr;
    void* block = found->address;
    kept_.erase(found);
    memory_.kept -= size;
    count(size);
    return block;
  }

  void count(size_t size) {
    memory_.in_use += size;
    most_ = std::max(most_, memory_.in_use);
  }

  // Kept blocks of other sizes make room, those that were freed first before the others.
  void* map_within_bounds(size_t size) {
    const size_t wanted = memory_.in_use + size, most = std::max(most_, wanted);
    while (!kept_.empty() && wanted + memory_.kept > most + most / 8 + kSpare) drop();
    void* block = map(size);
    while (!block && !kept_.empty()) {
      drop();
      block = map(size);
    }
    TORCH_CHECK(block, "there is no memory for a tensor of ", size >> 20, " MiB; tensors hold ",
                memory_.in_use >> 20, " MiB already");
    count(size);
    return block;
  }

  void drop() {
    const Block block = kept_.back();
    munmap(block.address, block.size);
    memory_.kept -= block.size;
    kept_.pop_back();
  }

  std::mutex mutex_;
  std::unordered_map<void*, size_t> used_;
  std::list<Block> kept_;  // what was freed last comes first: it may still be in the cache
  TensorMemory memory_{};
  size_t most_ = 0;
};

// Never destroyed: tensors may outlive everything else.
Blocks& blocks() {
  static auto* const all = new Blocks;
  return *all;
}

void release(void* block) {
  // A small block has such an address rarely, and is then not found among ours.
  const bool maybe_ours = reinterpret_cast<uintptr_t>(block) % kHugePage == 0;
  if (maybe_ours && block && blocks().give(block)) return;
  c10::free_cpu(block);
}

class TensorAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* block = bytes < kLarge ? c10::alloc_cpu(bytes) : blocks().take(bytes);
    return {block, block, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
};

}  // namespace

c10::Allocator& tensor_allocator() {
  static auto* const allocator = new TensorAllocator;
  return *allocator;
}

void use_tensor_allocator() {
  // Blocks of less than kLarge come from the C library, which must not map and trim them either.
  mallopt(M_MMAP_THRESHOLD, 4 * kLarge);
  mallopt(M_TRIM_THRESHOLD, 128 * kLarge);
  c10::SetCPUAllocator(&tensor_allocator(), /*priority=*/1);
}

TensorMemory tensor_memory() {
  return blocks().memory();
}

void release_memory() {
  blocks().release();
  malloc_trim(0);
}

}  // namespace gamut::script
