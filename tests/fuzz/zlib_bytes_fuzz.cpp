// Any bytes as a zlib stream: either a gamut::Error, or no more bytes than the limit. Any bytes
// compressed come back.
#include "checkpoint/zlib_bytes.h"

#include <gamut/error.h>

#include "support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gamut::checkpoint;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const size_t limit = size > 0 ? size_t{data[0]} << 12 : 0;
  try {
    const std::string out = zlib_decompress(bytes, limit, "input");
    gamut::fuzz::require(out.size() <= limit);
    gamut::fuzz::require(zlib_decompress(bytes, out.size(), "input") == out);
  } catch (const gamut::Error& error) {
    gamut::fuzz::require(error.what()[0] != 0);
  }
  const std::string packed = zlib_compress(bytes, static_cast<int>(size % 11) - 1);
  gamut::fuzz::require(zlib_decompress(packed, size, "input") == bytes);
  return 0;
}
