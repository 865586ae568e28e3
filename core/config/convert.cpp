// Scalar conversion, with messages that say what was expected, what was found and what to write.
#include "config/convert.h"

#include <c10/util/StringUtil.h>

#include <cmath>

#include "config/scalar.h"
#include "gamut/error.h"

namespace gamut::config {
namespace {

Scalar read_at(const RawNode& raw, const std::string& path) {
  try {
    return read_scalar(raw.text);
  } catch (const Error& error) {
    throw Error(raw.source.text() + ": `" + path + "`: " + error.what());
  }
}

Scalar convert_string(const Node& node, const RawNode& raw, const std::string& path) {
  if (!raw.tag.empty()) {  // YAML hides whether a tagged scalar was quoted
    bool null = raw.text == "null" || raw.text == "~";
    return null && node.optional ? Scalar() : Scalar(raw.text);
  }
  if (!raw.plain) return raw.text;
  Scalar value = read_at(raw, path);
  if (std::holds_alternative<std::string>(value)) return value;
  bool null = std::holds_alternative<std::monostate>(value);
  if (null && node.optional) return value;
  throw_wrong_type(node, raw, path, describe(value), null ? "" : "; quote it if the text is meant");
}

// "; write 100000" for 1e5 where an integer is expected.
std::string integral_hint(double value) {
  if (value != std::floor(value) || std::abs(value) > 9e15) return "";
  return "; write " + std::to_string(static_cast<int64_t>(value));
}

}  // namespace

void throw_wrong_type(const Node& node, const RawNode& raw, const std::string& path,
                      const std::string& found, const std::string& hint) {
  std::string declared = node.declaration.text();
  throw Error(c10::str(raw.source.text(), ": `", path, "` should be ", type_name(node.type),
                       node.optional && node.type != Type::scalar ? " or null" : "", ", not ",
                       found, hint,
                       declared == raw.source.text() ? "" : " (declared at " + declared + ")"));
}

Scalar convert_free(const RawNode& raw, const std::string& path) {
  if (!raw.plain) return raw.text;
  if (auto hint = ambiguity(raw.text)) {
    throw Error(
        c10::str(raw.source.text(), ": `", path, "`: `", raw.text, "` is ambiguous; ", *hint));
  }
  return read_at(raw, path);
}

Scalar convert(const Node& node, const RawNode& raw, const std::string& path) {
  if (node.type == Type::scalar) return convert_free(raw, path);
  if (node.type == Type::string) return convert_string(node, raw, path);
  if (!raw.plain) throw_wrong_type(node, raw, path, describe(raw.text), "; remove the quotes");
  Scalar value = read_at(raw, path);
  if (std::holds_alternative<std::monostate>(value) && node.optional) return value;
  switch (node.type) {
    case Type::boolean:
      if (std::holds_alternative<bool>(value)) return value;
      break;
    case Type::integer:
      if (std::holds_alternative<int64_t>(value)) return value;
      break;
    case Type::number:
      if (auto* integer = std::get_if<int64_t>(&value)) return static_cast<double>(*integer);
      if (std::holds_alternative<double>(value)) return value;
      break;
    default:
      break;
  }
  std::string hint;
  if (auto* number = std::get_if<double>(&value)) hint = integral_hint(*number);
  if (auto reason = ambiguity(raw.text)) hint = "; " + *reason;
  throw_wrong_type(node, raw, path, describe(value), hint);
}

}  // namespace gamut::config
