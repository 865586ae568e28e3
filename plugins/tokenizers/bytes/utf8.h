// Makes a byte stream valid UTF-8, as Python's bytes.decode("utf-8", errors="replace") does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gamut::bytes {

// Reads the stream in pieces; a sequence cut by the end of a piece waits for the next one.
class Utf8Repair {
 public:
  // Appends `piece` to `out` with every maximal invalid part replaced by U+FFFD.
  void push(std::string_view piece, std::string& out);
  // The stream is over: an unfinished sequence is invalid.
  void finish(std::string& out);

 private:
  void start(uint8_t byte, std::string& out);

  std::string pending_;  // the valid beginning of a sequence
  size_t expected_ = 0;  // its full length
  // Bounds of the next byte: they exclude overlong forms, surrogates and values past U+10FFFF.
  uint8_t low_ = 0x80, high_ = 0xBF;
};

}  // namespace gamut::bytes
