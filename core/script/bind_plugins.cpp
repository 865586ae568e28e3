// gamut.native.plugins: what plugins there are, and mixers, tokenizers and optimizers by name.
#include <gamut/documents.h>

#include "plugin_host/options_check.h"
#include "plugin_host/registry.h"
#include "script/active_state.h"
#include "script/lua_mixer.h"
#include "script/option_values.h"
#include "script/plugin_objects.h"
#include "script/tensor.h"

namespace gamut::script {
namespace {

std::string who(const std::string& kind, const std::string& name) {
  return kind + " `" + name + "`";
}

void set_field(lua_State* L, const char* key, const std::string& value) {
  lua_pushlstring(L, value.data(), value.size());
  lua_setfield(L, -2, key);
}

// plugins.list() -> list of {kind=, name=, version=, description=, path=, problem=, is_open=}.
int list(lua_State* L) {
  lua_newtable(L);
  lua_Integer count = 0;
  for (const auto& info : host::registry().list()) {
    lua_createtable(L, 0, 6);
    set_field(L, "kind", info.kind);
    set_field(L, "name", info.name);
    set_field(L, "version", info.version);
    set_field(L, "description", info.description);
    set_field(L, "path", info.path.string());
    set_field(L, "problem", info.problem);
    lua_pushboolean(L, info.is_open);
    lua_setfield(L, -2, "is_open");
    lua_rawseti(L, -2, ++count);
  }
  return 1;
}

// plugins.options(kind, name) -> its table, a list of {name=, type=, doc=, default=, ...}.
int options(lua_State* L) {
  const std::string kind = luaL_checkstring(L, 1), name = luaL_checkstring(L, 2);
  push_option_table(L, host::registry().options(kind, name));
  return 1;
}

// Pushes the options at `index` as the plugin's table completes them.
void push_checked(lua_State* L, const std::string& kind, const std::string& name, int index) {
  const OptionTable table = host::registry().options(kind, name);
  const OptionMap given = to_option_map(L, index, who(kind, name));
  push_option_map(L, host::check_options(table, given, who(kind, name)).values());
}

// plugins.check_options(kind, name, options) -> all options, with defaults.
int check_options(lua_State* L) {
  push_checked(L, luaL_checkstring(L, 1), luaL_checkstring(L, 2), 3);
  return 1;
}

// plugins.mixer(name, options).
int mixer(lua_State* L) {
  const std::string name = luaL_checkstring(L, 1);
  host::registry().options("mixer", name);  // an unknown name comes before wrong options
  const OptionMap given = to_option_map(L, 2, who("mixer", name));
  ActiveState active(L);
  auto made = host::registry().create_mixer(name, given);
  push_checked(L, "mixer", name, 2);
  push_mixer(L, std::move(made));
  return 1;
}

// plugins.tokenizer(name, options).
int tokenizer(lua_State* L) {
  const std::string name = luaL_checkstring(L, 1);
  host::registry().options("tokenizer", name);
  const OptionMap given = to_option_map(L, 2, who("tokenizer", name));
  push_tokenizer(L, host::registry().create_tokenizer(name, given), name);
  return 1;
}

// plugins.optimizer(name, groups, defaults): groups is a list of {params = list of {name, tensor},
// option = value, ...}; defaults are options that all groups share.
int optimizer(lua_State* L) {
  static const char* const skip[] = {"params", nullptr};
  const std::string name = luaL_checkstring(L, 1);
  const OptionTable table = host::registry().options("optimizer", name);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 3);
  std::vector<host::GroupRequest> groups;
  for (size_t i = 1; i <= lua_rawlen(L, 2); ++i) {
    const std::string group = c10::str("group ", i, " of ", who("optimizer", name));
    lua_rawgeti(L, 2, static_cast<lua_Integer>(i));
    GAMUT_CHECK(lua_type(L, -1) == LUA_TTABLE, group, " must be {params = list, option = value}, ",
                "not ", describe_value(L, -1));
    lua_getfield(L, -1, "params");
    auto parameters = to_named_tensors(L, -1, "params of " + group);
    lua_pop(L, 1);
    groups.push_back({std::move(parameters), to_option_map(L, -1, group, skip)});
    lua_pop(L, 1);
  }
  const OptionMap defaults = to_option_map(L, 3, who("optimizer", name));
  auto made = host::registry().create_optimizer(name, groups, defaults);
  push_optimizer(L, std::move(made), name, table);
  return 1;
}

// plugins.state(list of {name, tensor}) -> a state at position 0.
int state(lua_State* L) {
  State made;
  made.tensors = to_named_tensors(L, 1, "the tensors of a state");
  push_state(L, std::move(made));
  return 1;
}

// plugins.documents(cu_seqlens or nil, batch, time) -> nil when each row is one document, else a
// list of {row=, first=, length=, starts_row=, ends_row=} in order, rows and steps from 0.
int documents(lua_State* L) {
  if (lua_isnoneornil(L, 1)) return lua_pushnil(L), 1;
  const Documents packed(check_tensor(L, 1), luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
  lua_createtable(L, static_cast<int>(packed.size()), 0);
  for (int64_t i = 0; i < packed.size(); ++i) {
    lua_createtable(L, 0, 5);
    lua_pushinteger(L, packed.row(i));
    lua_setfield(L, -2, "row");
    lua_pushinteger(L, packed.begin(i) % packed.time());
    lua_setfield(L, -2, "first");
    lua_pushinteger(L, packed.end(i) - packed.begin(i));
    lua_setfield(L, -2, "length");
    lua_pushboolean(L, packed.is_first(i));
    lua_setfield(L, -2, "starts_row");
    lua_pushboolean(L, packed.is_last(i));
    lua_setfield(L, -2, "ends_row");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

// plugins.register_mixer(name, option declarations, constructor): makes a mixer written in Lua
// known to plugins and to `gamut check`.
int register_mixer(lua_State* L) {
  const std::string name = luaL_checkstring(L, 1);
  OptionTable table = to_option_table(L, 2, who("mixer", name));
  lua_settop(L, 3);
  const int constructor = luaL_ref(L, LUA_REGISTRYINDEX);
  auto cell = state_cell(L);
  host::registry().add_mixer(name, std::move(table), [cell, constructor](const Options& checked) {
    return std::make_unique<LuaMixer>(cell, constructor, checked);
  });
  return 0;
}

}  // namespace

int open_plugins(lua_State* L) {
  open_state_class(L);
  open_mixer_class(L);
  open_tokenizer_class(L);
  open_optimizer_class(L);
  const luaL_Reg functions[] = {{"list", guard<list>},
                                {"options", guard<options>},
                                {"check_options", guard<check_options>},
                                {"mixer", guard<mixer>},
                                {"tokenizer", guard<tokenizer>},
                                {"optimizer", guard<optimizer>},
                                {"state", guard<state>},
                                {"documents", guard<documents>},
                                {"register_mixer", guard<register_mixer>},
                                {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
