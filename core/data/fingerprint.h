// The name of a file's contents, made without reading all of a large one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace gamut::data {

// One line: name, size, and a hash of the bytes. Of a file above 16 MiB, 17 pieces of 64 KiB spread
// over it stand for the whole; an edit between the pieces goes unnoticed.
std::string fingerprint_line(const std::filesystem::path& path, const uint8_t* bytes, int64_t size);

// Of such lines, in order.
std::string fingerprint_of(const std::string& lines);

}  // namespace gamut::data
