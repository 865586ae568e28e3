// Option values as text: how people read them, and how the command line gives them.
#include <charconv>
#include <sstream>

#include "plugin_host/options_check.h"

namespace gamut::host {
namespace {

std::string number_text(double number) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;  // shortest exact
  return std::string(buffer, end);
}

template <class List>
std::string list_text(const List& list) {
  std::string text;
  for (auto element : list) text += (text.empty() ? "" : ", ") + to_text(OptionValue(element));
  return "{" + text + "}";
}

struct ToText {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return number_text(value); }
  std::string operator()(const std::string& value) const { return "\"" + value + "\""; }
  std::string operator()(const std::vector<int64_t>& value) const { return list_text(value); }
  std::string operator()(const std::vector<double>& value) const { return list_text(value); }
  std::string operator()(const std::shared_ptr<const OptionMap>& value) const {
    std::string text;
    if (value) {
      for (const auto& [key, element] : *value) {
        text += (text.empty() ? "" : ", ") + key + " = " + to_text(element);
      }
    }
    return "{" + text + "}";
  }
};

template <class T>
bool parse(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc() && result.ptr == end;
}

OptionValue parse_list(const std::string& text) {
  std::vector<double> numbers;
  std::istringstream elements(text);
  for (std::string element; std::getline(elements, element, ',');) {
    double number = 0;
    if (!parse(element, number)) return OptionValue(text);
    numbers.push_back(number);
  }
  return OptionValue(std::move(numbers));
}

}  // namespace

std::string type_name(OptionType type) {
  switch (type) {
    case OptionType::boolean:
      return "boolean";
    case OptionType::integer:
      return "integer";
    case OptionType::number:
      return "number";
    case OptionType::string:
      return "string";
    case OptionType::integers:
      return "list of integers";
    case OptionType::numbers:
      return "list of numbers";
    case OptionType::table:
      return "table";
  }
  return "unknown";
}

std::string to_text(const OptionValue& value) {
  return std::visit(ToText{}, value.base());
}

std::string range_text(const OptionSpec& spec) {
  const bool low = spec.minimum > -std::numeric_limits<double>::infinity();
  const bool high = spec.maximum < std::numeric_limits<double>::infinity();
  std::string text;
  if (low) text = (spec.excludes_minimum ? "above " : "at least ") + number_text(spec.minimum);
  if (low && high) text += ", ";
  if (high) text += (spec.excludes_maximum ? "below " : "at most ") + number_text(spec.maximum);
  return text;
}

OptionValue parse_value(const std::string& text) {
  int64_t integer = 0;
  double number = 0;
  if (text == "true" || text == "false") return OptionValue(text == "true");
  if (parse(text, integer)) return OptionValue(integer);
  if (parse(text, number)) return OptionValue(number);
  return OptionValue(text);
}

OptionValue parse_option(const OptionSpec& spec, const std::string& text,
                         const std::string& context) {
  OptionValue value(text);
  const bool is_list = spec.type == OptionType::integers || spec.type == OptionType::numbers;
  if (is_list) value = parse_list(text);
  if (!is_list && spec.type != OptionType::string) value = parse_value(text);
  return check_option(spec, value, context);
}

}  // namespace gamut::host
