// Typed layering of configuration trees.
#include "config/resolve.h"

#include <c10/util/StringUtil.h>

#include <algorithm>

#include "config/convert.h"
#include "config/scalar.h"
#include "gamut/error.h"
#include "text/nearest.h"

namespace gamut::config {
namespace {

// Names that the script's view of a configuration uses for its own functions.
const std::vector<std::string> kReserved = {"get", "plain", "unused", "expect", "where", "dump"};

std::string join(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

std::optional<Type> tagged_type(const RawNode& raw) {
  if (raw.tag == "boolean") return Type::boolean;
  if (raw.tag == "integer") return Type::integer;
  if (raw.tag == "number") return Type::number;
  if (raw.tag == "string") return Type::string;
  if (raw.tag == "scalar") return Type::scalar;
  return std::nullopt;
}

void check_tag(const RawNode& raw) {
  bool fits = raw.tag.empty();
  if (raw.kind == RawNode::Kind::map) fits = fits || raw.tag == "open";
  if (raw.kind == RawNode::Kind::scalar) fits = fits || tagged_type(raw).has_value();
  GAMUT_CHECK(
      fits, raw.source.text(), ": tag `!", raw.tag, "` is not one of !open (before a map) ",
      "and !boolean, !integer, !number, !string, !scalar (before a value that may be null)");
}

void check_reserved(const std::string& key, const RawNode& value) {
  bool reserved = std::find(kReserved.begin(), kReserved.end(), key) != kReserved.end();
  GAMUT_CHECK(!reserved, value.source.text(), ": `", key,
              "` is the name of a function of configurations; choose another key");
}

Type type_of(const Scalar& value) {
  const Type types[] = {Type::scalar, Type::boolean, Type::integer, Type::number, Type::string};
  return types[value.index()];
}

Node declare_at(const RawNode& raw, const std::string& path, bool open);

void declare_scalar(Node& node, const RawNode& raw, const std::string& path) {
  std::optional<Type> tagged = tagged_type(raw);
  if (tagged) {
    node.type = *tagged;
    node.optional = true;
    node.value = convert(node, raw, path);
    return;
  }
  node.value = convert_free(raw, path);
  node.type = type_of(node.value);
  node.optional = node.type == Type::scalar;
}

// The type that all items share; integers beside numbers are numbers.
std::optional<Type> shared_type(const std::vector<Node>& items) {
  std::optional<Type> shared;
  for (const Node& item : items) {
    if (item.type == Type::scalar) return std::nullopt;
    bool both_numeric = shared && *shared != item.type &&
                        (*shared == Type::integer || *shared == Type::number) &&
                        (item.type == Type::integer || item.type == Type::number);
    if (both_numeric) {
      shared = Type::number;
    } else if (!shared || *shared == item.type) {
      shared = item.type;
    } else {
      return std::nullopt;
    }
  }
  return shared;
}

void declare_list(Node& node, const RawNode& raw, const std::string& path) {
  node.type = Type::list;
  for (size_t i = 0; i < raw.items.size(); ++i) {
    node.items.push_back(declare_at(raw.items[i], join(path, std::to_string(i)), true));
  }
  node.element = shared_type(node.items);
  if (node.element != Type::number) return;
  for (Node& item : node.items) {
    item.type = Type::number;
    if (auto* integer = std::get_if<int64_t>(&item.value)) {
      item.value = static_cast<double>(*integer);
    }
  }
}

Node declare_at(const RawNode& raw, const std::string& path, bool open) {
  check_tag(raw);
  Node node;
  node.source = node.declaration = raw.source;
  if (raw.kind == RawNode::Kind::scalar) {
    declare_scalar(node, raw, path);
  } else if (raw.kind == RawNode::Kind::list) {
    declare_list(node, raw, path);
  } else {
    node.type = Type::map;
    node.open = open || raw.tag == "open";
    for (const auto& [key, value] : raw.members) {
      check_reserved(key, value);
      node.members.emplace_back(key, declare_at(value, join(path, key), node.open));
    }
  }
  return node;
}

std::string kind_name(const RawNode& raw) {
  if (raw.kind == RawNode::Kind::list) return "a list";
  if (raw.kind == RawNode::Kind::map) return "a map";
  return raw.text.empty() && raw.plain ? "null" : "the single value `" + raw.text + "`";
}

[[noreturn]] void throw_unknown_key(const Node& map, const std::string& path,
                                    const std::string& key, const Source& source) {
  std::vector<std::string> known;
  for (const Node::Member& member : map.members) known.push_back(member.first);
  std::string guess = text::nearest(key, known);
  std::string hint = guess.empty() ? text::did_you_mean(key, known)
                                   : "; did you mean `" + join(path, guess) + "`?";
  if (known.empty()) hint = "; no keys are declared at " + map.declaration.text();
  throw Error(source.text() + ": unknown key `" + join(path, key) + "`" + hint);
}

void check_kind(const Node& node, const RawNode& raw, const std::string& path) {
  RawNode::Kind wanted = node.type == Type::map    ? RawNode::Kind::map
                         : node.type == Type::list ? RawNode::Kind::list
                                                   : RawNode::Kind::scalar;
  if (raw.kind != wanted) throw_wrong_type(node, raw, path, kind_name(raw));
}

bool is_null(const RawNode& raw) {
  bool plain = raw.kind == RawNode::Kind::scalar && raw.plain && raw.tag.empty();
  return plain && (raw.text.empty() || raw.text == "~" || raw.text == "null");
}

void assign(Node& node, const RawNode& raw, const std::string& path, bool open);

void assign_members(Node& map, const RawNode& raw, const std::string& path) {
  for (const auto& [key, value] : raw.members) {
    Node* member = map.find(key);
    if (!member && !map.open) throw_unknown_key(map, path, key, value.source);
    if (map.open && is_null(value)) {  // null takes a key out of an open map
      auto named = [&name = key](const Node::Member& m) { return m.first == name; };
      map.members.erase(std::remove_if(map.members.begin(), map.members.end(), named),
                        map.members.end());
    } else if (member) {
      assign(*member, value, join(path, key), map.open);
    } else {
      check_reserved(key, value);
      map.members.emplace_back(key, declare_at(value, join(path, key), true));
    }
  }
  map.source = raw.source;
}

void assign_items(Node& list, const RawNode& raw, const std::string& path) {
  std::vector<Node> items;
  for (size_t i = 0; i < raw.items.size(); ++i) {
    std::string item_path = join(path, std::to_string(i));
    Node item;
    item.type = list.element.value_or(Type::scalar);
    item.open = true;  // of maps: what the items of a list may hold, the script knows
    item.declaration = list.declaration;
    bool nested = item.type == Type::map || item.type == Type::list;
    if (nested) check_kind(item, raw.items[i], item_path);
    assign(item, raw.items[i], item_path, nested || !list.element);
    items.push_back(std::move(item));
  }
  list.items = std::move(items);
  list.source = raw.source;
}

void assign(Node& node, const RawNode& raw, const std::string& path, bool open) {
  check_tag(raw);
  bool both_maps = node.type == Type::map && raw.kind == RawNode::Kind::map;
  if (open && !both_maps) {
    Source declaration = node.declaration;
    node = declare_at(raw, path, true);
    node.declaration = declaration;
    return;
  }
  check_kind(node, raw, path);
  if (node.type == Type::map) return assign_members(node, raw, path);
  if (node.type == Type::list) return assign_items(node, raw, path);
  node.value = convert(node, raw, path);
  node.source = raw.source;
}

// The text after `=` as the target's type wants it: verbatim for strings, YAML for lists and maps.
RawNode read_argument(const std::string& text, const std::string& origin, const Node* target,
                      bool open) {
  const char first = text.empty() ? '\0' : text[0];
  bool structured = target && !open && (target->type == Type::list || target->type == Type::map);
  bool quoted = first == '"' || first == '\'';
  bool bracketed = open && (first == '[' || first == '{');
  if (structured || quoted || bracketed) return parse_yaml(text, origin, false);
  RawNode raw;
  raw.text = text;
  raw.source.origin = std::make_shared<const std::string>(origin);
  bool wants_text = target && !open && target->type == Type::string;
  bool clears = wants_text && target->optional && text == "null";
  raw.plain = !wants_text || clears;
  return raw;
}

Node& item_at(Node& list, const std::string& index_text, const std::string& path,
              const Source& source) {
  int64_t index = parse_index(index_text);
  GAMUT_CHECK(index >= 0 && index < static_cast<int64_t>(list.items.size()), source.text(), ": `",
              path, "` is a list of ", list.items.size(), " items, counted from 0; `", index_text,
              "` is none of them");
  return list.items[index];
}

// The map or list that holds the last part of the path; maps inside open maps are made on the way.
Node& find_parent(Node& config, const std::vector<std::string>& parts, const Source& source) {
  Node* node = &config;
  std::string path;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (node->type == Type::list) {
      node = &item_at(*node, parts[i], path, source);
    } else {
      Node* member = node->find(parts[i]);
      if (!member && !node->open) throw_unknown_key(*node, path, parts[i], source);
      if (!member) {
        RawNode empty;
        empty.kind = RawNode::Kind::map;
        empty.source = source;
        check_reserved(parts[i], empty);
        node->members.emplace_back(parts[i], declare_at(empty, path, true));
        member = &node->members.back().second;
      }
      node = member;
    }
    path = join(path, parts[i]);
    GAMUT_CHECK(node->type == Type::map || node->type == Type::list, source.text(), ": `", path,
                "` is ", type_name(node->type), " and has no key `", parts[i + 1], "`");
  }
  return *node;
}

bool is_free(const Node& parent) {
  if (parent.type == Type::map) return parent.open;
  return !parent.element || *parent.element == Type::map || *parent.element == Type::list;
}

}  // namespace

Node declare(const RawNode& raw) {
  bool empty = raw.kind == RawNode::Kind::scalar && raw.plain && raw.text.empty();
  GAMUT_CHECK(raw.kind == RawNode::Kind::map || empty, raw.source.text(),
              ": a configuration is a map of `key: value` lines, not ", kind_name(raw));
  if (!empty) return declare_at(raw, "", false);
  RawNode map;
  map.kind = RawNode::Kind::map;
  map.source = raw.source;
  return declare_at(map, "", false);
}

void apply_layer(Node& config, const RawNode& layer) {
  bool empty = layer.kind == RawNode::Kind::scalar && layer.plain && layer.text.empty();
  if (empty) return;
  GAMUT_CHECK(layer.kind == RawNode::Kind::map, layer.source.text(),
              ": a configuration is a map of `key: value` lines, not ", kind_name(layer));
  assign(config, layer, "", false);
}

void apply_override(Node& config, const std::string& argument) {
  std::string shown = argument.size() <= 80 ? argument : argument.substr(0, 77) + "...";
  std::string origin = "argument `" + shown + "`";
  size_t equals = argument.find('=');
  GAMUT_CHECK(equals != std::string::npos && equals > 0, origin,
              ": write a setting as `key=value`");
  std::string path = argument.substr(0, equals);
  Source source{std::make_shared<const std::string>(origin), 0};
  std::vector<std::string> parts = split_path(path);
  Node& parent = find_parent(config, parts, source);
  const std::string& last = parts.back();
  std::string parent_path = path.substr(0, path.size() - last.size());
  if (!parent_path.empty()) parent_path.pop_back();
  std::string value = argument.substr(equals + 1);
  bool free = is_free(parent);
  if (parent.type == Type::list) {
    Node& item = item_at(parent, last, parent_path, source);
    return assign(item, read_argument(value, origin, &item, free), path, free);
  }
  RawNode layer;
  layer.kind = RawNode::Kind::map;
  layer.source = parent.source;
  layer.members.emplace_back(last, read_argument(value, origin, parent.find(last), free));
  assign_members(parent, layer, parent_path);
}

void apply(Node& config, const std::vector<std::string>& layer_paths,
           const std::vector<std::string>& overrides) {
  for (const std::string& path : layer_paths) apply_layer(config, parse_yaml_file(path));
  for (const std::string& argument : overrides) apply_override(config, argument);
}

}  // namespace gamut::config
