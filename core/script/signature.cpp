// Signatures in words, from schemas.
#include <ATen/core/jit_type.h>

#include <sstream>

#include "script/enums.h"
#include "script/schema.h"

namespace gamut::script {

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::tensor:
      return "Tensor";
    case Kind::tensor_list:
    case Kind::optional_tensor_list:
      return "Tensor[]";
    case Kind::dtype:
      return "dtype";
    case Kind::layout:
      return "layout";
    case Kind::device:
      return "device";
    case Kind::memory_format:
      return "memory_format";
    case Kind::string:
      return "string";
    case Kind::boolean:
      return "boolean";
    case Kind::boolean_list:
      return "boolean[]";
    case Kind::integer:
      return "integer";
    case Kind::integer_list:
      return "integer[]";
    case Kind::number:
    case Kind::scalar:
      return "number";
    case Kind::number_list:
    case Kind::scalar_list:
      return "number[]";
    case Kind::generator:
      return "Generator";
    case Kind::unsupported:
      return "nil";
  }
  return "nil";
}

std::string default_text(const Parameter& p) {
  if (p.default_value.isNone()) return "nil";
  if (p.kind == Kind::dtype) {
    return dtype_name(static_cast<c10::ScalarType>(p.default_value.toInt()));
  }
  if (p.default_value.isBool()) return p.default_value.toBool() ? "true" : "false";
  if (p.default_value.isString()) return '"' + p.default_value.toStringRef() + '"';
  std::ostringstream out;
  out << p.default_value;
  std::string text = out.str();
  for (char& c : text) c = c == '[' ? '{' : c == ']' ? '}' : c;
  return text;
}

namespace {

std::string parameter_text(const Parameter& p) {
  std::string text = std::string(kind_name(p.kind)) + (p.optional ? "? " : " ") + p.name;
  if (p.has_default) text += " = " + default_text(p);
  return text;
}

}  // namespace

std::string Overload::signature() const {
  std::string text = op.operator_name().name;
  text = text.substr(text.find("::") + 2) + "(";
  bool first = true, in_names = false;
  for (const auto& p : parameters) {
    if (!first) text += ", ";
    first = false;
    if (p.keyword_only && !in_names) {
      text += "{";
      in_names = true;
    }
    text += parameter_text(p);
  }
  return text + (in_names ? "})" : ")");
}

}  // namespace gamut::script
