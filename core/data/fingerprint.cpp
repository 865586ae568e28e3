// XXH3 of the whole, or of pieces.
#include "data/fingerprint.h"

#include <c10/util/StringUtil.h>

#include "files/hash.h"

namespace gamut::data {
namespace {

std::string content_hash(const uint8_t* bytes, int64_t size) {
  constexpr int64_t kWhole = int64_t{16} << 20, kPiece = int64_t{64} << 10, kPieces = 16;
  if (size <= kWhole) return files::xxh3_hex(bytes, static_cast<size_t>(size));
  std::string hashes;
  for (int64_t i = 0; i <= kPieces; ++i) {
    const int64_t offset = (size - kPiece) / kPieces * i;
    hashes += files::xxh3_hex(bytes + offset, kPiece);
  }
  return files::xxh3_hex(hashes.data(), hashes.size());
}

}  // namespace

std::string fingerprint_line(const std::filesystem::path& path, const uint8_t* bytes,
                             int64_t size) {
  return c10::str(path.filename().string(), " ", size, " ", content_hash(bytes, size), "\n");
}

std::string fingerprint_of(const std::string& lines) {
  return "xxh3:" + files::xxh3_hex(lines.data(), lines.size());
}

}  // namespace gamut::data
