// The shared memory of the block that runs: pieces with forbidden bytes between them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace gamut::cuda::emulation {

class SharedArena {
 public:
  SharedArena() = default;
  ~SharedArena();
  SharedArena(const SharedArena&) = delete;
  SharedArena& operator=(const SharedArena&) = delete;

  // For a new block: no pieces, every byte 0xff, which makes floats of all sizes NaN and integers
  // -1. True if the arena has moved.
  bool clear(size_t bytes);
  // The piece `number` of `bytes` that begins `offset` into the memory that the launch gave. The
  // same for all threads. On a fault null, and `why` says it.
  void* take(int number, size_t offset, size_t bytes, std::string& why);
  // "" if `bytes` from `address` lie within one piece, otherwise where they lie.
  std::string misplaced(const void* address, size_t bytes) const;
  // "byte 8 of piece 0 of shared memory", or that it is global memory.
  std::string describe(const void* address) const;

  const void* begin() const { return memory_; }
  size_t capacity() const { return capacity_; }

 private:
  struct Piece {
    size_t place, bytes;
  };
  char* place(size_t at) const { return memory_ + at; }

  char* memory_ = nullptr;
  size_t capacity_ = 0, given_ = 0;
  std::vector<Piece> pieces_;
};

}  // namespace gamut::cuda::emulation
