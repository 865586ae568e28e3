// Memory for Lua's own objects, apart from the heap that tensors live in.
//
// Tensors come and go in blocks of megabytes. When Lua's small objects are served from the same
// heap they settle in the holes between, until the collector gets to them, and every hole is then
// a few bytes too small for the next tensor: a loop over 4 MiB tensors that frees them all at once
// was seen to grow by 4 MiB a round. Keeping them apart prevents that, and is faster.
#pragma once

#include <cstddef>
#include <vector>

namespace gamut::script {

// One for each Lua state; not for use by several threads. Small blocks come from chunks that are
// kept until the end, larger ones from malloc.
class LuaAllocator {
 public:
  LuaAllocator() = default;
  ~LuaAllocator();
  LuaAllocator(const LuaAllocator&) = delete;
  LuaAllocator& operator=(const LuaAllocator&) = delete;

  // A lua_Alloc, with the allocator as its data.
  static void* allocate(void* self, void* block, size_t old_size, size_t new_size);

 private:
  static constexpr size_t kGrain = 16;
  static constexpr size_t kSmall = 1024;  // the largest block that comes from a chunk
  static constexpr size_t kChunk = size_t{1} << 20;

  struct Free {
    Free* next;
  };

  void* take(size_t size);
  void give(void* block, size_t size);
  bool add_chunk();
  void* resize(void* block, size_t old_size, size_t new_size);
  static size_t size_class(size_t size) { return (size + kGrain - 1) / kGrain; }

  Free* free_[kSmall / kGrain + 1] = {};
  char* next_ = nullptr;  // unused rest of the newest chunk
  char* end_ = nullptr;
  std::vector<void*> chunks_;
};

}  // namespace gamut::script
