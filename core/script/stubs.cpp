#include "script/stubs.h"

#include <gamut/error.h>

#include <set>
#include <sstream>

#include "plugin_host/registry.h"
#include "script/enums.h"
#include "script/schema.h"
#include "script/tensor_members.h"

namespace gamut::script {
namespace {

const std::set<std::string> kKeywords = {"and",   "break", "do",       "else", "elseif", "end",
                                         "false", "for",   "function", "goto", "if",     "in",
                                         "local", "nil",   "not",      "or",   "repeat", "return",
                                         "then",  "true",  "until",    "while"};

std::string safe_name(const std::string& name) {
  return kKeywords.count(name) ? name + "_" : name;
}

std::string type_of(const Parameter& p) {
  std::string type = kind_name(p.kind);
  if (p.kind == Kind::generator) type = "Generator";
  if (p.takes_number) type += "|number";
  if (p.broadcasts && p.kind == Kind::integer_list) type += "|integer";
  return type;
}

bool may_be_left_out(const Parameter& p) {
  return p.has_default || p.optional;
}

// {alpha?: number, out?: Tensor}
std::string named_type(const Overload& overload) {
  std::string text;
  for (const auto& p : overload.parameters) {
    if (!p.keyword_only) continue;
    text += (text.empty() ? "" : ", ") + safe_name(p.name) + "?: " + type_of(p);
  }
  if (overload.makes_tensors) text += ", requires_grad?: boolean";
  return text.empty() ? "" : "{" + text + "}";
}

std::string returns(const Overload& overload) {
  std::string text;
  for (const auto& result : overload.results) {
    text += (text.empty() ? "" : ", ") + std::string(kind_name(result.kind));
  }
  return text;
}

// fun(self: Tensor, dim: integer, dtype?: dtype): Tensor
std::string function_type(const Overload& overload) {
  std::string text;
  for (const auto& p : overload.parameters) {
    if (p.keyword_only) continue;
    text += (text.empty() ? "" : ", ") + safe_name(p.name) + (may_be_left_out(p) ? "?" : "") +
            ": " + type_of(p);
  }
  const std::string named = named_type(overload);
  if (!named.empty()) text += (text.empty() ? "named?: " : ", named?: ") + named;
  const std::string result = returns(overload);
  return "fun(" + text + ")" + (result.empty() ? "" : ": " + result);
}

// The first overload in full, the others as alternatives. A method's `self` goes without saying.
void write_function(std::ostream& out, const Operator& op, const char* owner, bool method) {
  const Overload& main = op.overloads.front();
  std::string names;
  for (const auto& p : main.parameters) {
    if (p.keyword_only) continue;
    if (method && names.empty() && &p == &main.parameters.front()) continue;
    names += (names.empty() ? "" : ", ") + safe_name(p.name);
    out << "---@param " << safe_name(p.name) << (may_be_left_out(p) ? "? " : " ") << type_of(p);
    if (p.has_default) out << " default " << default_text(p);
    out << "\n";
  }
  const std::string named = named_type(main);
  if (!named.empty()) {
    names += names.empty() ? "named" : ", named";
    out << "---@param named? " << named << "\n";
  }
  const std::string result = returns(main);
  if (!result.empty()) out << "---@return " << result << "\n";
  for (size_t i = 1; i < op.overloads.size(); ++i) {
    out << "---@overload " << function_type(op.overloads[i]) << "\n";
  }
  if (kKeywords.count(op.name)) {
    out << owner << "[\"" << op.name << "\"] = function(" << (method ? "self" : "")
        << (method && !names.empty() ? ", " : "") << names << ") end\n";
  } else {
    out << "function " << owner << (method ? ":" : ".") << op.name << "(" << names << ") end\n";
  }
}

// gamut.data is the library's module of that name, not the operator.
bool is_public(const std::string& name) {
  return name != "data" && name[0] != '_' && name.find('.') == std::string::npos;
}

std::set<std::string> declared_methods() {
  std::set<std::string> names;
  for (const auto* method = tensor_methods; method->name; ++method) names.insert(method->name);
  for (const auto& property : tensor_properties()) names.insert(property.name);
  return names;
}

const char* option_type(OptionType type) {
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
      return "integer[]";
    case OptionType::numbers:
      return "number[]";
    case OptionType::table:
      return "table";
  }
  return "any";
}

void write_option(std::ostream& out, const OptionSpec& spec) {
  const bool optional = spec.is_optional || spec.default_value.has_value();
  std::string type = option_type(spec.type);
  if (!spec.choices.empty()) {
    type.clear();
    for (const auto& choice : spec.choices) type += (type.empty() ? "\"" : "|\"") + choice + "\"";
  }
  out << "---@field " << spec.name << (optional ? "? " : " ") << type << " " << spec.doc << "\n";
}

}  // namespace

std::string operator_stubs() {
  std::ostringstream out;
  out << "---@meta\n-- Written by `gamut stubs` from LibTorch's operator schemas.\n\n---@alias "
         "dtype ";
  bool first = true;
  for (const auto& name : dtype_names()) {
    out << (first ? "\"" : "|\"") << name << "\"";
    first = false;
  }
  out << "\n\n---@class gamut\nlocal gamut = {}\n\n---@class Tensor\nlocal Tensor = {}\n\n";
  const auto declared = declared_methods();
  for (const auto& name : operator_names("aten")) {
    const Operator* op = is_public(name) ? find_operator("aten", name) : nullptr;
    if (!op || op->overloads.empty()) continue;
    write_function(out, *op, "gamut", false);
    const auto& parameters = op->overloads.front().parameters;
    const bool method = !parameters.empty() && parameters[0].kind == Kind::tensor;
    if (method && !declared.count(name)) write_function(out, *op, "Tensor", true);
  }
  out << "\nreturn gamut, Tensor\n";
  return out.str();
}

std::string plugin_stubs() {
  std::ostringstream out;
  out << "---@meta\n-- Written by `gamut stubs` from the plugins' option tables.\n";
  for (const auto& plugin : host::registry().list()) {
    if (!plugin.problem.empty()) continue;
    out << "\n-- " << plugin.description << "\n---@class gamut.options." << plugin.kind << "."
        << plugin.name << "\n";
    for (const auto& spec : host::registry().options(plugin.kind, plugin.name)) {
      write_option(out, spec);
    }
  }
  return out.str();
}

}  // namespace gamut::script
