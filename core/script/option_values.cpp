// Reads option values from Lua and writes them back.
#include "script/option_values.h"

#include <cmath>
#include <cstring>

#include "script/tensor.h"

namespace gamut::script {
namespace {

// What kind of table it is; Lua has one type for lists and for maps.
struct Shape {
  lua_Integer length = 0;  // of the sequence part
  bool has_names = false;
  bool has_others = false;  // a key that is neither a name nor in the sequence
};

Shape shape_of(lua_State* L, int index) {
  Shape shape;
  shape.length = static_cast<lua_Integer>(lua_rawlen(L, index));
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING) {
      shape.has_names = true;
    } else if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 ||
               lua_tointeger(L, -1) > shape.length) {
      shape.has_others = true;
    }
  }
  return shape;
}

// The list at `index`, whose items are numbers.
OptionValue to_list(lua_State* L, int index, lua_Integer length, const std::string& what) {
  std::vector<int64_t> integers;
  std::vector<double> numbers;
  for (lua_Integer i = 1; i <= length; ++i) {
    lua_rawgeti(L, index, i);
    GAMUT_CHECK(lua_type(L, -1) == LUA_TNUMBER, what, " is a list, and item ", i, " of it is ",
                describe_value(L, -1), "; lists hold numbers");
    if (lua_isinteger(L, -1)) integers.push_back(lua_tointeger(L, -1));
    numbers.push_back(lua_tonumber(L, -1));
    lua_pop(L, 1);
  }
  if (integers.size() == numbers.size()) return integers;
  return numbers;
}

OptionValue to_nested(lua_State* L, int index, const std::string& name,
                      const std::string& context) {
  luaL_checkstack(L, 8, "options nested too deeply");
  index = lua_absindex(L, index);
  const std::string what = "option `" + name + "` of " + context;
  const Shape shape = shape_of(L, index);
  GAMUT_CHECK(!shape.has_others && !(shape.has_names && shape.length > 0), what,
              " mixes a list and names; write either a list such as {1, 2} or a table such as "
              "{name = value}");
  if (shape.has_names) {
    return std::make_shared<const OptionMap>(to_option_map(L, index, what));
  }
  return to_list(L, index, shape.length, what);
}

bool is_skipped(const char* const* skip, const std::string& name) {
  for (; skip && *skip; ++skip) {
    if (name == *skip) return true;
  }
  return false;
}

}  // namespace

OptionValue to_option_value(lua_State* L, int index, const std::string& name,
                            const std::string& context) {
  switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
      return lua_toboolean(L, index) != 0;
    case LUA_TNUMBER:
      if (lua_isinteger(L, index)) return static_cast<int64_t>(lua_tointeger(L, index));
      return static_cast<double>(lua_tonumber(L, index));
    case LUA_TSTRING:
      return std::string(lua_tostring(L, index));
    case LUA_TTABLE:
      return to_nested(L, index, name, context);
    default:
      throw Error("option `" + name + "` of " + context + " is " + describe_value(L, index) +
                  "; an option is a boolean, number, string, list of numbers or table");
  }
}

OptionMap to_option_map(lua_State* L, int index, const std::string& context,
                        const char* const* skip) {
  OptionMap values;
  if (lua_isnoneornil(L, index)) return values;
  GAMUT_CHECK(lua_type(L, index) == LUA_TTABLE, "the options of ", context,
              " must be a table such as {name = value}, not ", describe_value(L, index));
  index = lua_absindex(L, index);
  lua_pushnil(L);
  while (lua_next(L, index)) {
    GAMUT_CHECK(lua_type(L, -2) == LUA_TSTRING, "the options of ", context,
                " are given by name, such as {name = value}; there is a value without a name (",
                describe_value(L, -1), ")");
    const std::string name = lua_tostring(L, -2);
    if (!is_skipped(skip, name)) values[name] = to_option_value(L, -1, name, context);
    lua_pop(L, 1);
  }
  return values;
}

namespace {

struct Pusher {
  lua_State* L;
  void operator()(bool value) const { lua_pushboolean(L, value); }
  void operator()(int64_t value) const { lua_pushinteger(L, value); }
  void operator()(double value) const { lua_pushnumber(L, value); }
  void operator()(const std::string& value) const {
    lua_pushlstring(L, value.data(), value.size());
  }
  template <class T>
  void operator()(const std::vector<T>& values) const {
    lua_createtable(L, static_cast<int>(values.size()), 0);
    for (size_t i = 0; i < values.size(); ++i) {
      (*this)(values[i]);
      lua_rawseti(L, -2, static_cast<lua_Integer>(i + 1));
    }
  }
  void operator()(const std::shared_ptr<const OptionMap>& values) const {
    push_option_map(L, *values);
  }
};

struct TypeName {
  OptionType type;
  const char* name;
};
constexpr TypeName kTypeNames[] = {
    {OptionType::boolean, "boolean"},   {OptionType::integer, "integer"},
    {OptionType::number, "number"},     {OptionType::string, "string"},
    {OptionType::integers, "integers"}, {OptionType::numbers, "numbers"},
    {OptionType::table, "table"},
};

const char* name_of(OptionType type) {
  for (const auto& entry : kTypeNames) {
    if (entry.type == type) return entry.name;
  }
  return "unknown";
}

void push_spec(lua_State* L, const OptionSpec& spec) {
  const Pusher push{L};
  lua_newtable(L);
  push(spec.name);
  lua_setfield(L, -2, "name");
  lua_pushstring(L, name_of(spec.type));
  lua_setfield(L, -2, "type");
  push(spec.doc);
  lua_setfield(L, -2, "doc");
  lua_pushboolean(L, spec.is_optional);
  lua_setfield(L, -2, "optional");
  if (spec.default_value) {
    push_option_value(L, *spec.default_value);
    lua_setfield(L, -2, "default");
  }
  if (std::isfinite(spec.minimum)) {
    push(spec.minimum);
    lua_setfield(L, -2, spec.excludes_minimum ? "above" : "min");
  }
  if (std::isfinite(spec.maximum)) {
    push(spec.maximum);
    lua_setfield(L, -2, spec.excludes_maximum ? "below" : "max");
  }
  if (!spec.choices.empty()) {
    push(spec.choices);
    lua_setfield(L, -2, "choices");
  }
}

}  // namespace

void push_option_value(lua_State* L, const OptionValue& value) {
  luaL_checkstack(L, 8, "options nested too deeply");
  std::visit(Pusher{L}, value.base());
}

void push_option_map(lua_State* L, const OptionMap& values) {
  lua_createtable(L, 0, static_cast<int>(values.size()));
  for (const auto& [name, value] : values) {
    push_option_value(L, value);
    lua_setfield(L, -2, name.c_str());
  }
}

void push_option_table(lua_State* L, const OptionTable& table) {
  lua_createtable(L, static_cast<int>(table.size()), 0);
  for (size_t i = 0; i < table.size(); ++i) {
    push_spec(L, table[i]);
    lua_rawseti(L, -2, static_cast<lua_Integer>(i + 1));
  }
}

namespace {

// Reads one declaration, a table on top of the stack.
class SpecReader {
 public:
  SpecReader(lua_State* L, std::string context)
      : L_(L), index_(lua_gettop(L)), context_(std::move(context)) {}

  OptionSpec read() {
    OptionSpec spec = option::make(OptionType::boolean, text_at(1, "name"), "");
    where_ = "option `" + spec.name + "` of " + context_;
    spec.type = type();
    refuse_unknown_keys();
    if (lua_getfield(L_, index_, "doc") == LUA_TSTRING) spec.doc = lua_tostring(L_, -1);
    if (lua_getfield(L_, index_, "default") != LUA_TNIL) {
      spec.default_value = to_option_value(L_, -1, spec.name, context_);
    }
    lua_getfield(L_, index_, "optional");
    spec.is_optional = lua_toboolean(L_, -1);
    spec.minimum = bound("min", spec.minimum);
    spec.maximum = bound("max", spec.maximum);
    if (has("above")) {
      spec.minimum = bound("above", spec.minimum);
      spec.excludes_minimum = true;
    }
    if (has("below")) {
      spec.maximum = bound("below", spec.maximum);
      spec.excludes_maximum = true;
    }
    spec.choices = choices();
    lua_settop(L_, index_);
    return spec;
  }

 private:
  std::string text_at(int position, const char* what) {
    lua_rawgeti(L_, index_, position);
    GAMUT_CHECK(lua_type(L_, -1) == LUA_TSTRING, "an option of ", context_,
                " is declared as {\"name\", \"type\", ...}; its ", what, " is ",
                describe_value(L_, -1));
    std::string text = lua_tostring(L_, -1);
    lua_pop(L_, 1);
    return text;
  }

  OptionType type() {
    const std::string name = text_at(2, "type");
    for (const auto& entry : kTypeNames) {
      if (name == entry.name) return entry.type;
    }
    throw Error(where_ + " has the unknown type `" + name +
                "`; there are boolean, integer, number, string, integers, numbers and table");
  }

  void refuse_unknown_keys() {
    static const char* const known[] = {"default", "min",      "max", "above", "below",
                                        "choices", "optional", "doc", nullptr};
    lua_pushnil(L_);
    while (lua_next(L_, index_)) {
      lua_pop(L_, 1);
      if (lua_type(L_, -1) != LUA_TSTRING) continue;
      GAMUT_CHECK(is_skipped(known, lua_tostring(L_, -1)), where_, " is declared with `",
                  lua_tostring(L_, -1),
                  "`; there are default, min, max, above, below, choices, optional and doc");
    }
  }

  bool has(const char* key) {
    const bool found = lua_getfield(L_, index_, key) != LUA_TNIL;
    lua_pop(L_, 1);
    return found;
  }

  double bound(const char* key, double otherwise) {
    const int kind = lua_getfield(L_, index_, key);
    GAMUT_CHECK(kind == LUA_TNIL || kind == LUA_TNUMBER, where_, ": ", key, " must be a number");
    return kind == LUA_TNIL ? otherwise : lua_tonumber(L_, -1);
  }

  std::vector<std::string> choices() {
    std::vector<std::string> names;
    if (lua_getfield(L_, index_, "choices") == LUA_TNIL) return names;
    GAMUT_CHECK(lua_type(L_, -1) == LUA_TTABLE, where_, ": choices must be a list of strings");
    const int list = lua_gettop(L_);
    for (size_t i = 1; i <= lua_rawlen(L_, list); ++i) {
      const int kind = lua_rawgeti(L_, list, static_cast<lua_Integer>(i));
      GAMUT_CHECK(kind == LUA_TSTRING, where_, ": choices must be a list of strings");
      names.push_back(lua_tostring(L_, -1));
      lua_pop(L_, 1);
    }
    return names;
  }

  lua_State* L_;
  int index_;
  std::string context_;
  std::string where_;
};

}  // namespace

OptionTable to_option_table(lua_State* L, int index, const std::string& context) {
  OptionTable table;
  if (lua_isnoneornil(L, index)) return table;
  GAMUT_CHECK(lua_type(L, index) == LUA_TTABLE, "the options of ", context,
              " are declared as a list, not as ", describe_value(L, index));
  index = lua_absindex(L, index);
  for (size_t i = 1; i <= lua_rawlen(L, index); ++i) {
    const int kind = lua_rawgeti(L, index, static_cast<lua_Integer>(i));
    GAMUT_CHECK(kind == LUA_TTABLE, "option ", i, " of ", context,
                " is declared as {\"name\", \"type\", ...}, not as ", describe_value(L, -1));
    table.push_back(SpecReader(L, context).read());
    lua_pop(L, 1);
  }
  return table;
}

}  // namespace gamut::script
