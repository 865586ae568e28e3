// Text for readers that insist on UTF-8.
#pragma once

#include <string>

namespace gamut::telemetry {

// The text with bytes that are no UTF-8 replaced by U+FFFD, and NUL by a space: samples of
// byte-level models hold both, and one of them would keep TensorBoard from reading the whole file.
std::string valid_utf8(const std::string& text);

}  // namespace gamut::telemetry
