#include "cuda/emulation/shared_arena.h"

#include <sanitizer/asan_interface.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace gamut::cuda::emulation {
namespace {

// Not a multiple of 32: pieces promise 16 bytes of alignment and no more.
constexpr size_t kRedZone = 80;
constexpr size_t kPieces = 64;
constexpr size_t kAlignment = 128;

}  // namespace

SharedArena::~SharedArena() {
  __asan_unpoison_memory_region(memory_, capacity_);
  std::free(memory_);
}

bool SharedArena::clear(size_t bytes) {
  const size_t needed = (bytes + (kPieces + 1) * kRedZone + kAlignment) / kAlignment * kAlignment;
  const bool grows = needed > capacity_;
  if (grows) {
    __asan_unpoison_memory_region(memory_, capacity_);
    std::free(memory_);
    memory_ = static_cast<char*>(std::aligned_alloc(kAlignment, needed));
    capacity_ = needed;
  }
  __asan_unpoison_memory_region(memory_, capacity_);
  std::memset(memory_, 0xff, needed);
  __asan_poison_memory_region(memory_, capacity_);
  given_ = bytes;
  pieces_.clear();
  return grows;
}

void* SharedArena::take(int number, size_t offset, size_t bytes, std::string& why) {
  if (offset + bytes > given_) {
    why = "piece " + std::to_string(number) + " of shared memory ends at byte " +
          std::to_string(offset + bytes) + ", but the launch gave " + std::to_string(given_) +
          "; add to the SharedSize what the kernel takes";
    return nullptr;
  }
  const size_t from = offset + (number + 1) * kRedZone;
  if (static_cast<size_t>(number) < pieces_.size()) {
    const Piece& known = pieces_[number];
    if (known.place == from && known.bytes == bytes) return place(from);
    why = "takes " + std::to_string(bytes) + " bytes as piece " + std::to_string(number) +
          " of shared memory, for which another SharedMemory has " + std::to_string(known.bytes) +
          "; all threads must take the same pieces in the same order";
    return nullptr;
  }
  if (pieces_.size() == kPieces) {
    why = "takes more than " + std::to_string(kPieces) + " pieces of shared memory";
    return nullptr;
  }
  pieces_.push_back({from, bytes});
  __asan_unpoison_memory_region(place(from), bytes);
  return place(from);
}

std::string SharedArena::misplaced(const void* address, size_t bytes) const {
  const auto at = reinterpret_cast<uintptr_t>(address);
  const auto begin = reinterpret_cast<uintptr_t>(memory_);
  if (at < begin || at >= begin + capacity_) return "is not in shared memory";
  const size_t offset = at - begin;
  for (size_t i = pieces_.size(); i > 0; --i) {
    const Piece& piece = pieces_[i - 1];
    if (offset < piece.place) continue;
    if (offset + bytes <= piece.place + piece.bytes) return "";
    return "lies " + std::to_string(offset - piece.place) + " bytes into piece " +
           std::to_string(i - 1) + " of shared memory, which has " + std::to_string(piece.bytes);
  }
  return "lies before the first piece of shared memory";
}

std::string SharedArena::describe(const void* address) const {
  const auto* at = static_cast<const char*>(address);
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const char* begin = place(pieces_[i].place);
    if (at < begin || at >= begin + pieces_[i].bytes) continue;
    return "byte " + std::to_string(at - begin) + " of piece " + std::to_string(i) +
           " of shared memory";
  }
  return "global memory";
}

}  // namespace gamut::cuda::emulation
