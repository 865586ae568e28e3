// Reading and writing of YAML scalars.
#include "config/scalar.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <regex>

#include "gamut/error.h"

namespace gamut::config {
namespace {

bool is_any_of(const std::string& text, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (text == name) return true;
  }
  return false;
}

// Longer texts are no numbers and would overflow the matcher's stack.
bool matches(const std::string& text, const std::regex& pattern) {
  return text.size() < 400 && std::regex_match(text, pattern);
}

const std::regex kInteger("[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+");
const std::regex kNumber("[-+]?(\\.[0-9]+|[0-9]+(\\.[0-9]*)?)([eE][-+]?[0-9]+)?");
const std::regex kInfinity("[-+]?\\.(inf|Inf|INF)");
const std::regex kLeadingZero("[-+]?0[0-9]+");
const std::regex kUnderscores("[-+]?[0-9][0-9_]*_[0-9_]*(\\.[0-9_]*)?");
const std::regex kSexagesimal("[-+]?[0-9]+(:[0-5]?[0-9])+(\\.[0-9]*)?");
const std::regex kPlainString("([A-Za-z_/]|\\.\\.?/)[A-Za-z0-9_./+-]*");

// Decimal, or YAML 1.2's `0x1F` and `0o17`.
int64_t read_integer(const std::string& text) {
  const char* begin = text.c_str();
  const char* end = begin + text.size();
  int base = 10;
  if (text.rfind("0x", 0) == 0) base = 16;
  if (text.rfind("0o", 0) == 0) base = 8;
  if (base != 10) begin += 2;
  if (*begin == '+') ++begin;
  int64_t value = 0;
  auto result = std::from_chars(begin, end, value, base);
  GAMUT_CHECK(result.ec == std::errc() && result.ptr == end, "`", text,
              "` does not fit a 64-bit integer");
  return value;
}

double read_number(const std::string& text) {
  const char* begin = text.c_str();
  const char* end = begin + text.size();
  if (*begin == '+') ++begin;
  double value = 0;
  auto result = std::from_chars(begin, end, value);
  GAMUT_CHECK(result.ec == std::errc() && result.ptr == end, "`", text,
              "` is beyond the range of a 64-bit float");
  return value;
}

std::string number_text(double value) {
  if (std::isnan(value)) return ".nan";
  if (std::isinf(value)) return value > 0 ? ".inf" : "-.inf";
  char buffer[64];
  auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);  // shortest exact form
  std::string text(buffer, result.ptr);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

}  // namespace

std::optional<std::string> ambiguity(const std::string& text) {
  if (is_any_of(text, {"yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})) {
    return "write true, or quote it if the text is meant";
  }
  if (is_any_of(text, {"no", "No", "NO", "off", "Off", "OFF", "n", "N"})) {
    return "write false, or quote it if the text is meant";
  }
  if (matches(text, kLeadingZero)) {
    return "write it without the leading zero, as 0o17 if octal, or quote it";
  }
  if (matches(text, kUnderscores)) {
    return "write the number without underscores, or quote it";
  }
  if (matches(text, kSexagesimal)) {
    return "quote it if the text is meant, or write the number in full";
  }
  return std::nullopt;
}

Scalar read_scalar(const std::string& text) {
  if (is_any_of(text, {"", "~", "null", "Null", "NULL"})) return std::monostate();
  if (is_any_of(text, {"true", "True", "TRUE"})) return true;
  if (is_any_of(text, {"false", "False", "FALSE"})) return false;
  if (is_any_of(text, {".nan", ".NaN", ".NAN"})) return std::numeric_limits<double>::quiet_NaN();
  if (matches(text, kInfinity)) {
    return text[0] == '-' ? -HUGE_VAL : HUGE_VAL;
  }
  if (ambiguity(text)) return text;
  if (matches(text, kInteger)) return read_integer(text);
  if (matches(text, kNumber)) return read_number(text);
  return text;
}

std::string scalar_text(const Scalar& value) {
  if (auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  if (auto* number = std::get_if<double>(&value)) return number_text(*number);
  if (auto* text = std::get_if<std::string>(&value)) return *text;
  return "null";
}

std::string string_yaml(const std::string& text) {
  bool plain = matches(text, kPlainString) && !ambiguity(text) &&
               std::holds_alternative<std::string>(read_scalar(text));
  if (plain) return text;
  // A JSON string is a YAML double-quoted string.
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string scalar_yaml(const Scalar& value) {
  if (auto* text = std::get_if<std::string>(&value)) return string_yaml(*text);
  return scalar_text(value);
}

}  // namespace gamut::config
