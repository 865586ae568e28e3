// Random choices of the emulator: few instructions, the same on every machine.
#pragma once

#include <cstdint>

namespace gamut::cuda::emulation {

// SplitMix64 (Steele, Lea, Flood, 2014).
class Random {
 public:
  explicit Random(uint64_t seed = 0) : state_(seed) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  // Below `bound`, which is far below 2^32.
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>((next() >> 32) * bound >> 32); }

  // The number of one of the bits of `set`, which has some: the next from a random place on.
  int bit_of(uint32_t set) {
    const uint32_t from = below(32);
    const uint32_t turned = set >> from | set << (32 - from) % 32;
    return static_cast<int>((__builtin_ctz(turned) + from) % 32);
  }

 private:
  uint64_t state_;
};

}  // namespace gamut::cuda::emulation
