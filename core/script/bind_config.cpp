// gamut.native.config: a study's configuration as a strict, read-only Lua value.
//
//   config.load(template or nil, {files = {...}, overrides = {"lr=0.1", ...}}) -> configuration
//   config.diff(saved yaml file, configuration) -> list of {key, old, new, where}
//
// Reading a key that is not there is an error with the nearest name, and what a script never read
// can be asked for: a setting that nothing uses is a mistake in one of the two. Scalars, lists and
// open maps arrive as ordinary Lua values, other maps as views as strict as the whole.
#include <cctype>
#include <set>
#include <string>

#include "config/dump.h"
#include "config/expect.h"
#include "config/resolve.h"
#include "gamut/error.h"
#include "script/lua.h"
#include "text/nearest.h"

namespace gamut::script {
namespace {

using config::Node;
using config::Type;

constexpr const char* kMeta = "gamut.config";

// One for each load: the tree, and which of its values the script has read.
struct Root {
  Node tree;
  std::set<const Node*> read;
};

// A map of the tree; the configuration itself is the view of the root.
struct View {
  std::shared_ptr<Root> root;
  const Node* node;
  std::string path;  // "" for the root, else "optimizer."
};

void push_view(lua_State* L, View view) {
  new (lua_newuserdatauv(L, sizeof(View), 0)) View(std::move(view));
  luaL_setmetatable(L, kMeta);
}

View& check_view(lua_State* L, int index) {
  return *static_cast<View*>(luaL_checkudata(L, index, kMeta));
}

int collect(lua_State* L) {
  check_view(L, 1).~View();
  return 0;
}

void push_scalar(lua_State* L, const config::Scalar& value) {
  if (auto* flag = std::get_if<bool>(&value)) {
    lua_pushboolean(L, *flag);
  } else if (auto* integer = std::get_if<int64_t>(&value)) {
    lua_pushinteger(L, *integer);
  } else if (auto* number = std::get_if<double>(&value)) {
    lua_pushnumber(L, *number);
  } else if (auto* text = std::get_if<std::string>(&value)) {
    lua_pushlstring(L, text->data(), text->size());
  } else {
    lua_pushnil(L);
  }
}

// A closed map becomes a view unless `plain`; all else an ordinary Lua value, and counts as read.
void push_node(lua_State* L, const std::shared_ptr<Root>& root, const Node& node,
               const std::string& path, bool plain) {
  luaL_checkstack(L, 4, "configuration nested too deep");
  if (node.type == Type::map && !node.open && !plain) {
    push_view(L, {root, &node, path + "."});
    return;
  }
  root->read.insert(&node);
  if (node.type == Type::map) {
    lua_createtable(L, 0, static_cast<int>(node.members.size()));
    for (const auto& [key, value] : node.members) {
      lua_pushlstring(L, key.data(), key.size());
      push_node(L, root, value, path + "." + key, plain);
      lua_rawset(L, -3);
    }
  } else if (node.type == Type::list) {
    lua_createtable(L, static_cast<int>(node.items.size()), 0);
    for (size_t i = 0; i < node.items.size(); ++i) {
      push_node(L, root, node.items[i], path + "." + std::to_string(i), plain);
      lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
    }
  } else {
    push_scalar(L, node.value);
  }
}

std::vector<std::string> member_names(const Node& map) {
  std::vector<std::string> names;
  for (const Node::Member& member : map.members) names.push_back(member.first);
  return names;
}

// view[key]
int index(lua_State* L) {
  View& view = check_view(L, 1);
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;  // a method
    lua_pop(L, 1);
  }
  const std::string key = luaL_tolstring(L, 2, nullptr);
  const Node* member = view.node->find(key);
  GAMUT_CHECK(member, "the configuration has no key `", view.path, key, "`",
              text::did_you_mean(key, member_names(*view.node)), " (see ",
              view.node->declaration.text(), ")");
  push_node(L, view.root, *member, view.path + key, false);
  return 1;
}

// view:get(key, default) for keys that may be absent or null.
int get(lua_State* L) {
  View& view = check_view(L, 1);
  const std::string key = luaL_checkstring(L, 2);
  lua_settop(L, 3);
  const Node* member = view.node->find(key);
  bool given = member && !member->is_null();
  if (member && !given) view.root->read.insert(member);
  if (given) push_node(L, view.root, *member, view.path + key, false);
  return 1;
}

int new_index(lua_State* L) {
  const std::string key = luaL_tolstring(L, 2, nullptr);
  throw Error("the configuration is read-only: `" + check_view(L, 1).path + key +
              "` cannot be set; take a copy with :plain()");
}

// The step function of pairs: upvalue 1 counts members. Null values are passed over, as in tables.
int next_member(lua_State* L) {
  View& view = check_view(L, 1);
  auto position = static_cast<size_t>(lua_tointeger(L, lua_upvalueindex(1)));
  for (; position < view.node->members.size(); ++position) {
    const auto& [key, value] = view.node->members[position];
    if (value.is_null()) {
      view.root->read.insert(&value);
      continue;
    }
    lua_pushinteger(L, static_cast<lua_Integer>(position) + 1);
    lua_replace(L, lua_upvalueindex(1));
    lua_pushlstring(L, key.data(), key.size());
    push_node(L, view.root, value, view.path + key, false);
    return 2;
  }
  return 0;
}

int pairs(lua_State* L) {
  check_view(L, 1);
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, guard<next_member>, 1);
  lua_pushvalue(L, 1);
  return 2;
}

int to_string(lua_State* L) {
  const std::string text = config::dump_flow(*check_view(L, 1).node);
  lua_pushlstring(L, text.data(), text.size());
  return 1;
}

// view:plain() -> an ordinary table of everything below; all of it counts as read.
int plain(lua_State* L) {
  View& view = check_view(L, 1);
  push_node(L, view.root, *view.node, view.path, true);
  return 1;
}

// view:dump() -> YAML of everything below, exact.
int dump(lua_State* L) {
  const std::string text = config::dump(*check_view(L, 1).node);
  lua_pushlstring(L, text.data(), text.size());
  return 1;
}

// view:where("optimizer.lr") -> "config.yaml:12"
int where(lua_State* L) {
  View& view = check_view(L, 1);
  const std::string path = luaL_checkstring(L, 2);
  const Node* node = view.node->at_path(path);
  GAMUT_CHECK(node, "the configuration has no key `", view.path, path, "`");
  lua_pushstring(L, node->source.text().c_str());
  return 1;
}

void push_field(lua_State* L, const char* name, const std::string& value) {
  lua_pushlstring(L, value.data(), value.size());
  lua_setfield(L, -2, name);
}

bool mentions(const std::string& source, const std::string& key) {
  auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  for (size_t at = source.find(key); at != std::string::npos; at = source.find(key, at + 1)) {
    const size_t end = at + key.size();
    bool whole =
        (at == 0 || !is_word(source[at - 1])) && (end == source.size() || !is_word(source[end]));
    if (whole) return true;
  }
  return false;
}

// Appends to the list on top of the stack.
void append_unused(lua_State* L, const Root& root, const Node& node, const std::string& path,
                   const std::string& source) {
  if (root.read.count(&node)) return;
  if (node.type == Type::map && !node.open) {
    for (const auto& [key, value] : node.members) {
      append_unused(L, root, value, path.empty() ? key : path + "." + key, source);
    }
    return;
  }
  if (mentions(source, path.substr(path.rfind('.') + 1))) return;
  const std::string place = node.source.text();
  lua_createtable(L, 0, 3);
  push_field(L, "key", path);
  push_field(L, "where", place);
  push_field(L, "message", place + ": `" + path + "` is not used by this script");
  lua_rawseti(L, -2, static_cast<lua_Integer>(lua_rawlen(L, -2)) + 1);
}

// view:unused([script text]) -> list of {key, where, message}: the settings that were not read and
// whose names are no words of the text, so that the script will not read them later either.
int unused(lua_State* L) {
  View& view = check_view(L, 1);
  const std::string source = luaL_optstring(L, 2, "");
  lua_newtable(L);
  append_unused(L, *view.root, *view.node, view.path.substr(0, view.path.rfind('.')), source);
  return 1;
}

config::Scalar check_scalar(lua_State* L, int index) {
  switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
      return lua_toboolean(L, index) != 0;
    case LUA_TNUMBER:
      if (lua_isinteger(L, index)) return static_cast<int64_t>(lua_tointeger(L, index));
      return lua_tonumber(L, index);
    case LUA_TSTRING:
      return std::string(lua_tostring(L, index));
    default:
      throw Error("an expectation compares with numbers, strings and booleans, not a " +
                  std::string(luaL_typename(L, index)));
  }
}

double check_bound(lua_State* L, const std::string& name) {
  GAMUT_CHECK(lua_type(L, -1) == LUA_TNUMBER, "the expectation `", name, "` is a number");
  return lua_tonumber(L, -1);
}

// The rules of the table on top of the stack.
config::Expectation check_rules(lua_State* L, const std::string& path) {
  GAMUT_CHECK(lua_istable(L, -1), "what is expected of `", path, "` is a table such as {min = 0}");
  config::Expectation rules;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    const std::string name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (name == "min") {
      rules.min = check_bound(L, name);
    } else if (name == "max") {
      rules.max = check_bound(L, name);
    } else if (name == "above") {
      rules.above = check_bound(L, name);
    } else if (name == "below") {
      rules.below = check_bound(L, name);
    } else if (name == "multiple_of") {
      rules.multiple_of = static_cast<int64_t>(check_bound(L, name));
      GAMUT_CHECK(*rules.multiple_of != 0, "the expectation `multiple_of` is not 0");
    } else if (name == "one_of") {
      GAMUT_CHECK(lua_istable(L, -1), "the expectation `one_of` is a list");
      for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; ++i, lua_pop(L, 1)) {
        rules.one_of.push_back(check_scalar(L, -1));
      }
      lua_pop(L, 1);
    } else {
      throw Error("`" + name + "` is not one of min, max, above, below, multiple_of, one_of");
    }
  }
  return rules;
}

// The table on top of the stack: rules by key, or by key of a nested map.
void expect_of(lua_State* L, const Node& map, const std::string& path) {
  luaL_checkstack(L, 6, "expectations nested too deep");
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    GAMUT_CHECK(lua_type(L, -2) == LUA_TSTRING, "expectations are written {key = {min = 0}}");
    const std::string key = lua_tostring(L, -2);
    const Node* node = map.find(key);
    if (!node && map.open) continue;  // a key that may be absent
    GAMUT_CHECK(node, "the configuration has no key `", path, key, "` to expect something of",
                text::did_you_mean(key, member_names(map)));
    if (node->type == Type::map) {
      GAMUT_CHECK(lua_istable(L, -1), "what is expected of `", path, key, "` is a table");
      expect_of(L, *node, path + key + ".");
    } else {
      config::check_expectation(*node, path + key, check_rules(L, path + key));
    }
  }
}

// view:expect{lr = {above = 0}, mixer = {n_heads = {min = 1}}} -> view
int expect(lua_State* L) {
  View& view = check_view(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  expect_of(L, *view.node, view.path);
  lua_settop(L, 1);
  return 1;
}

std::vector<std::string> check_strings(lua_State* L, int table, const char* name) {
  std::vector<std::string> strings;
  if (lua_getfield(L, table, name) != LUA_TNIL) {
    luaL_checktype(L, -1, LUA_TTABLE);
    for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; ++i) {
      GAMUT_CHECK(lua_type(L, -1) == LUA_TSTRING, "`", name, "` is a list of strings");
      strings.push_back(lua_tostring(L, -1));
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return strings;
}

int load(lua_State* L) {
  const bool has_template = !lua_isnoneornil(L, 1);
  if (has_template) luaL_checkstring(L, 1);
  std::vector<std::string> files, overrides;
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    files = check_strings(L, 2, "files");
    overrides = check_strings(L, 2, "overrides");
  }
  auto root = std::make_shared<Root>();
  root->tree =
      has_template
          ? config::declare(config::parse_yaml_file(lua_tostring(L, 1)))
          : config::declare(config::parse_yaml("", "this study, which has no config.yaml", false));
  config::apply(root->tree, files, overrides);
  const Node* tree = &root->tree;
  push_view(L, {std::move(root), tree, ""});
  return 1;
}

int diff(lua_State* L) {
  const Node saved = config::declare(config::parse_yaml_file(luaL_checkstring(L, 1)));
  const std::vector<config::Change> changes = config::diff(saved, *check_view(L, 2).node);
  lua_createtable(L, static_cast<int>(changes.size()), 0);
  for (size_t i = 0; i < changes.size(); ++i) {
    lua_createtable(L, 0, 4);
    push_field(L, "key", changes[i].key);
    push_field(L, "old", changes[i].old_value);
    push_field(L, "new", changes[i].new_value);
    push_field(L, "where", changes[i].source.text());
    lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
  }
  return 1;
}

}  // namespace

int open_config(lua_State* L) {
  const luaL_Reg meta[] = {{"__gc", collect},
                           {"__newindex", guard<new_index>},
                           {"__pairs", guard<pairs>},
                           {"__tostring", guard<to_string>},
                           {nullptr, nullptr}};
  const luaL_Reg methods[] = {{"get", guard<get>},       {"plain", guard<plain>},
                              {"unused", guard<unused>}, {"expect", guard<expect>},
                              {"where", guard<where>},   {"dump", guard<dump>},
                              {nullptr, nullptr}};
  const luaL_Reg functions[] = {{"load", guard<load>}, {"diff", guard<diff>}, {nullptr, nullptr}};
  luaL_newmetatable(L, kMeta);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_pushcclosure(L, guard<index>, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
