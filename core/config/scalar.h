// What a plain YAML scalar means. YAML 1.2's core schema, minus its traps.
//
// `true`/`false` are the only booleans and `1e-3` is a number. Texts that YAML 1.1 and 1.2 read
// differently (`yes`, `off`, `010`, `1_000`, `12:30`) are `ambiguous`: a string where a string is
// expected, refused elsewhere with what to write instead.
#pragma once

#include <optional>
#include <string>

#include "config/node.h"

namespace gamut::config {

// The value of a plain (unquoted) scalar. Throws gamut::Error without location when a number does
// not fit its type.
Scalar read_scalar(const std::string& text);

// Why a plain text is ambiguous and what to write instead; nothing if it is not.
std::optional<std::string> ambiguity(const std::string& text);

// The value as text: numbers exact and still numbers when read again, strings bare.
std::string scalar_text(const Scalar& value);

// The value as YAML: as scalar_text, strings quoted where they would be read as something else.
std::string scalar_yaml(const Scalar& value);

// A string as a YAML key or string value, quoted only where needed.
std::string string_yaml(const std::string& text);

}  // namespace gamut::config
