#include "script/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace gamut::script {

LuaAllocator::~LuaAllocator() {
  for (void* chunk : chunks_) munmap(chunk, kChunk);
}

bool LuaAllocator::add_chunk() {
  void* chunk = mmap(nullptr, kChunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (chunk == MAP_FAILED) return false;
  // What was left of the old chunk is less than one small block, and is lost.
  chunks_.push_back(chunk);
  next_ = static_cast<char*>(chunk);
  end_ = next_ + kChunk;
  return true;
}

void* LuaAllocator::take(size_t size) {
  if (size > kSmall) return std::malloc(size);
  const size_t c = size_class(size);
  if (Free* block = free_[c]) {
    free_[c] = block->next;
    return block;
  }
  const size_t bytes = c * kGrain;
  if (static_cast<size_t>(end_ - next_) < bytes && !add_chunk()) return nullptr;
  void* block = next_;
  next_ += bytes;
  return block;
}

void LuaAllocator::give(void* block, size_t size) {
  if (size > kSmall) return std::free(block);
  auto* freed = static_cast<Free*>(block);
  Free*& head = free_[size_class(size)];
  freed->next = head;
  head = freed;
}

void* LuaAllocator::resize(void* block, size_t old_size, size_t new_size) {
  if (old_size > kSmall && new_size > kSmall) return std::realloc(block, new_size);
  if (old_size <= kSmall && new_size <= kSmall && size_class(old_size) == size_class(new_size)) {
    return block;
  }
  void* moved = take(new_size);
  if (!moved) return nullptr;
  std::memcpy(moved, block, std::min(old_size, new_size));
  give(block, old_size);
  return moved;
}

// For a new block Lua passes a type tag as `old_size`.
void* LuaAllocator::allocate(void* self, void* block, size_t old_size, size_t new_size) {
  auto& allocator = *static_cast<LuaAllocator*>(self);
  if (!block) return new_size ? allocator.take(new_size) : nullptr;
  if (new_size == 0) {
    allocator.give(block, old_size);
    return nullptr;
  }
  return allocator.resize(block, old_size, new_size);
}

}  // namespace gamut::script
