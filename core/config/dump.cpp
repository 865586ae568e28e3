// Writing and comparing configuration trees.
#include "config/dump.h"

#include "config/scalar.h"

namespace gamut::config {
namespace {

// The tag that makes a reader declare the same type again. Below an open map all is open anyway.
std::string tag_of(const Node& node, bool in_open_map) {
  if (in_open_map) return "";
  if (node.type == Type::map) return node.open ? "!open " : "";
  if (node.type == Type::list || !node.optional) return "";
  auto* text = std::get_if<std::string>(&node.value);
  if (node.type == Type::scalar) {
    // A reader cannot tell `!scalar "5"` from `!scalar 5`; the exact value matters more than the
    // tag.
    bool quoted = text && string_yaml(*text) != *text;
    return node.is_null() || quoted ? "" : "!scalar ";
  }
  if (text && (*text == "null" || *text == "~")) return "";
  const char* tags[] = {"!boolean ", "!integer ", "!number ", "!string "};
  return tags[static_cast<int>(node.type)];
}

void dump_members(const Node& map, const std::string& indent, std::string& out) {
  for (const auto& [key, value] : map.members) {
    out += indent + string_yaml(key) + ":";
    if (value.type == Type::map && !value.members.empty()) {
      std::string tag = tag_of(value, map.open);
      if (!tag.empty()) out += " " + tag.substr(0, tag.size() - 1);
      out += "\n";
      dump_members(value, indent + "  ", out);
    } else {
      out += " " + tag_of(value, map.open) + dump_flow(value) + "\n";
    }
  }
}

// Leaves are scalars, lists and empty maps: a list changes as a whole.
void flatten(const Node& node, const std::string& path, std::vector<Change>& out) {
  if (node.type != Type::map || node.members.empty()) {
    if (!path.empty()) out.push_back({path, "", dump_flow(node), node.source});
    return;
  }
  for (const auto& [key, value] : node.members) {
    flatten(value, path.empty() ? key : path + "." + key, out);
  }
}

const Change* find_leaf(const std::vector<Change>& leaves, const std::string& key) {
  for (const Change& leaf : leaves) {
    if (leaf.key == key) return &leaf;
  }
  return nullptr;
}

}  // namespace

std::string dump_flow(const Node& node) {
  std::string out;
  if (node.type == Type::list) {
    for (const Node& item : node.items) out += (out.empty() ? "" : ", ") + dump_flow(item);
    return "[" + out + "]";
  }
  if (node.type == Type::map) {
    for (const auto& [key, value] : node.members) {
      out += (out.empty() ? "" : ", ") + string_yaml(key) + ": " + dump_flow(value);
    }
    return "{" + out + "}";
  }
  return scalar_yaml(node.value);
}

std::string dump(const Node& config) {
  std::string out;
  dump_members(config, "", out);
  return out;
}

std::vector<Change> diff(const Node& old_config, const Node& new_config) {
  const std::string absent = "(not set)";
  std::vector<Change> before, after, changes;
  flatten(old_config, "", before);
  flatten(new_config, "", after);
  for (Change& leaf : after) {
    const Change* old_leaf = find_leaf(before, leaf.key);
    leaf.old_value = old_leaf ? old_leaf->new_value : absent;
    if (leaf.old_value != leaf.new_value) changes.push_back(leaf);
  }
  for (const Change& leaf : before) {
    if (!find_leaf(after, leaf.key)) {
      changes.push_back({leaf.key, leaf.new_value, absent, leaf.source});
    }
  }
  return changes;
}

}  // namespace gamut::config
