// Checksums of a file, taken while it is written or from its bytes in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace gamut::files {

// XXH3 finds accidents at memory speed and is compared at every load. SHA-256 also finds what was
// made to look right; it names a file in publications, and a full verification compares it.
struct Digest {
  uint64_t bytes = 0;
  std::string sha256;  // 64 hexadecimal digits
  std::string xxh3;    // 32 hexadecimal digits: the 128-bit variant
};

class Hasher {
 public:
  Hasher();
  ~Hasher();
  void update(const void* data, size_t bytes);
  Digest finish();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(const void* data, size_t bytes);
std::string xxh3_hex(const void* data, size_t bytes);

}  // namespace gamut::files
