// zlib streams (RFC 1950) of whole byte strings, as Python's zlib.compress and zlib.decompress.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gamut::checkpoint {

// `level`: 0 (stored) to 9 (smallest), -1 is zlib's choice, 6. Throws gamut::Error for another.
std::string zlib_compress(std::string_view bytes, int level);

// The bytes of one stream and nothing behind it. A few bytes can stand for a thousand times as
// many: never more than `limit` are made. Throws gamut::Error for what is more, truncated, damaged
// or no zlib stream; `name` is what messages call it.
std::string zlib_decompress(std::string_view bytes, size_t limit, const std::string& name);

}  // namespace gamut::checkpoint
