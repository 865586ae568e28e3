// The table of well-formed sequences is table 3-7 of the Unicode standard.
#include "utf8.h"

namespace gamut::bytes {
namespace {
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
}

void Utf8Repair::push(std::string_view piece, std::string& out) {
  out.reserve(out.size() + piece.size());
  for (const char c : piece) {
    const auto byte = static_cast<uint8_t>(c);
    if (pending_.empty()) {
      start(byte, out);
      continue;
    }
    if (byte < low_ || byte > high_) {
      finish(out);  // what stood before is invalid, and this byte begins anew
      start(byte, out);
      continue;
    }
    pending_ += c;
    low_ = 0x80, high_ = 0xBF;
    if (pending_.size() == expected_) {
      out += pending_;
      pending_.clear();
    }
  }
}

void Utf8Repair::finish(std::string& out) {
  if (!pending_.empty()) out += kReplacement;
  pending_.clear();
}

void Utf8Repair::start(uint8_t byte, std::string& out) {
  if (byte < 0x80) {
    out += static_cast<char>(byte);
    return;
  }
  if (byte < 0xC2 || byte > 0xF4) {
    out += kReplacement;
    return;
  }
  expected_ = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
  low_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
  high_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
  pending_.assign(1, static_cast<char>(byte));
}

}  // namespace gamut::bytes
