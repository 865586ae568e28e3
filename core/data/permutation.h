// A shuffle that needs no memory: a keyed bijection of 0 .. n-1.
#pragma once

#include <array>
#include <cstdint>

namespace gamut::data {

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): spreads every input bit over all.
inline uint64_t mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

// A Feistel network over the smallest even number of bits that holds n; results of n and above are
// fed back until they fall below (cycle walking), fewer than four times on average.
class Permutation {
 public:
  Permutation(uint64_t size, uint64_t key) : size_(size) {
    while (half_bits_ < 31 && (uint64_t{1} << (2 * half_bits_)) < size) ++half_bits_;
    for (uint64_t& round : rounds_) round = key = mix64(key);
  }

  uint64_t operator()(uint64_t index) const {
    do index = encrypt(index);
    while (index >= size_);
    return index;
  }

 private:
  uint64_t encrypt(uint64_t value) const {
    const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
    uint64_t left = value >> half_bits_, right = value & mask;
    for (const uint64_t round : rounds_) {
      const uint64_t next = left ^ (mix64(right ^ round) & mask);
      left = right;
      right = next;
    }
    return (left << half_bits_) | right;
  }

  uint64_t size_;
  int half_bits_ = 1;
  std::array<uint64_t, 8> rounds_;
};

}  // namespace gamut::data
