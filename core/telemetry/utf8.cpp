// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
#include "telemetry/utf8.h"

#include <cstdint>

namespace gamut::telemetry {
namespace {

bool is_continuation(unsigned char byte) {
  return (byte & 0xc0) == 0x80;
}

// Bytes of the character that starts at `at`, or 0 if none does.
size_t character_length(const std::string& text, size_t at) {
  auto byte = [&](size_t i) -> unsigned char { return at + i < text.size() ? text[at + i] : 0; };
  const unsigned char lead = byte(0), second = byte(1);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4 || !is_continuation(second)) return 0;
  if (lead < 0xe0) return 2;
  if (!is_continuation(byte(2))) return 0;
  if (lead < 0xf0) {
    bool overlong = lead == 0xe0 && second < 0xa0;
    bool surrogate = lead == 0xed && second > 0x9f;
    return overlong || surrogate ? 0 : 3;
  }
  bool overlong = lead == 0xf0 && second < 0x90;
  bool too_high = lead == 0xf4 && second > 0x8f;
  return overlong || too_high || !is_continuation(byte(3)) ? 0 : 4;
}

}  // namespace

std::string valid_utf8(const std::string& text) {
  std::string valid;
  valid.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = character_length(text, at);
    if (length == 0) {
      valid += "\xef\xbf\xbd";
      ++at;
      continue;
    }
    text[at] == '\0' ? valid += ' ' : valid.append(text, at, length);
    at += length;
  }
  return valid;
}

}  // namespace gamut::telemetry
