// Checks one scalar against the type its key was declared with.
#pragma once

#include <string>

#include "config/node.h"
#include "config/raw.h"

namespace gamut::config {

// The value of `raw` for the declared `node`. `path` names the key in errors.
Scalar convert(const Node& node, const RawNode& raw, const std::string& path);

// The value of a scalar of no declared type; refuses texts whose meaning is ambiguous.
Scalar convert_free(const RawNode& raw, const std::string& path);

// "FILE:LINE: `path` should be a number, not …" with the place of the declaration.
[[noreturn]] void throw_wrong_type(const Node& node, const RawNode& raw, const std::string& path,
                                   const std::string& found, const std::string& hint = "");

}  // namespace gamut::config
