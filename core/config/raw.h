// YAML text as an untyped tree with line numbers, before any template gives it types.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config/node.h"

namespace gamut::config {

struct RawNode {
  enum class Kind { scalar, list, map };
  using Member = std::pair<std::string, RawNode>;

  Kind kind = Kind::scalar;
  std::string tag;     // `number` of `!number`; empty without one
  bool plain = false;  // an unquoted scalar
  std::string text;    // of a scalar
  std::vector<RawNode> items;
  std::vector<Member> members;
  Source source;
};

// Reads one YAML document; `name` is what messages call it. Aliases are expanded. Refuses, with
// line: broken YAML, duplicate keys, merge keys, a second document, and documents that are too
// deep or too large once expanded. Without
// lines (a command-line argument) messages carry `name` alone.
RawNode parse_yaml(const std::string& text, const std::string& name, bool with_lines = true);

// Reads a file of at most 4 MiB.
RawNode parse_yaml_file(const std::string& path);

}  // namespace gamut::config
