// Finds two threads of a block that meet at an address without a barrier between, one of them
// writing: from who last read and wrote each two bytes, and when.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gamut::cuda::emulation {

enum class Touch : uint8_t { read, write };

// A touch of memory, and as of when it is ordered before others.
struct Access {
  uint32_t epoch = 0;  // barriers of all blocks so far
  uint32_t syncs = 0;  // __syncwarp of the thread's warp so far
  uint32_t code = 0;   // offset of the instruction in the program
  uint16_t thread = 0;
  bool atomic = false;
};

struct Race {
  Touch kind;  // of the earlier access
  Access access;
};

class Races {
 public:
  // Memory [begin, begin + bytes) has cells of its own; other memory shares those of a hash table,
  // in which an entry may be lost to another address, and a race with it.
  void watch(const void* begin, size_t bytes);

  // Notes that `access` touched the bytes, and returns an earlier one with which it races if there
  // is.
  std::optional<Race> touch(Touch kind, const void* address, size_t bytes, const Access& access);

 private:
  struct Cell {
    uintptr_t granule = 0;
    Access write;
    Access reads[2];  // the first since the barrier, and one of another warp if there is
  };
  Cell& cell(uintptr_t granule);
  static std::optional<Race> touch(Touch kind, Cell& cell, const Access& access);

  uintptr_t begin_ = 0, end_ = 0;
  std::vector<Cell> watched_, others_;
};

// "planted.cu:12", where the access was.
std::string place_of(const Access& access);
uint32_t code_offset(const void* instruction);

}  // namespace gamut::cuda::emulation
