// Lookup in configuration trees, and the words for their values.
#include "config/node.h"

#include <c10/util/StringUtil.h>

#include "config/scalar.h"
#include "gamut/error.h"

namespace gamut::config {

std::string Source::text() const {
  if (!origin) return "the configuration";
  return line > 0 ? *origin + ":" + std::to_string(line) : *origin;
}

const char* type_name(Type type) {
  switch (type) {
    case Type::boolean:
      return "a boolean";
    case Type::integer:
      return "an integer";
    case Type::number:
      return "a number";
    case Type::string:
      return "a string";
    case Type::list:
      return "a list";
    case Type::map:
      return "a map";
    case Type::scalar:
      return "a single value";
  }
  return "?";
}

bool Node::is_null() const {
  return type != Type::list && type != Type::map && std::holds_alternative<std::monostate>(value);
}

const Node* Node::find(const std::string& key) const {
  for (const Member& member : members) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

Node* Node::find(const std::string& key) {
  return const_cast<Node*>(static_cast<const Node*>(this)->find(key));
}

const Node* Node::at_path(const std::string& path) const {
  const Node* node = this;
  for (const std::string& part : split_path(path)) {
    if (node->type == Type::list) {
      int64_t index = parse_index(part);
      if (index < 0 || index >= static_cast<int64_t>(node->items.size())) return nullptr;
      node = &node->items[index];
    } else {
      node = node->find(part);
    }
    if (!node) return nullptr;
  }
  return node;
}

std::string describe(const Scalar& value) {
  const char* kind[] = {"null", "boolean", "integer", "number", "string"};
  std::string text = kind[value.index()];
  return value.index() == 0 ? text : text + " `" + scalar_text(value) + "`";
}

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts;
  size_t start = 0;
  while (true) {
    size_t dot = path.find('.', start);
    parts.push_back(path.substr(start, dot - start));
    GAMUT_CHECK(!parts.back().empty(), "`", path, "` is not a key: write it as `key` or `map.key`");
    if (dot == std::string::npos) return parts;
    start = dot + 1;
  }
}

int64_t parse_index(const std::string& text) {
  if (text.empty() || text.size() > 9) return -1;
  int64_t index = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return -1;
    index = index * 10 + (c - '0');
  }
  return index;
}

}  // namespace gamut::config
