// gamut.native.tensor: making tensors, operators by name, scopes.
#include "script/call.h"
#include "script/scope.h"
#include "script/stubs.h"
#include "script/tensor.h"
#include "script/tensor_members.h"

namespace gamut::script {
namespace {

// operator(namespace, name): a function, or nil when there is no such operator.
int get_operator(lua_State* L) {
  const Operator* op = find_operator(luaL_checkstring(L, 1), luaL_checkstring(L, 2));
  if (!op) return lua_pushnil(L), 1;
  push_operator(L, *op);
  return 1;
}

int push_strings(lua_State* L, const std::vector<std::string>& strings) {
  lua_createtable(L, static_cast<int>(strings.size()), 0);
  for (size_t i = 0; i < strings.size(); ++i) {
    lua_pushlstring(L, strings[i].data(), strings[i].size());
    lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
  }
  return 1;
}

// operator_names(namespace)
int list_operators(lua_State* L) {
  return push_strings(L, operator_names(luaL_checkstring(L, 1)));
}

// nearest(names, wanted): at most three of the list that a misspelling may have meant.
int nearest(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  std::vector<std::string> names;
  for (lua_Integer i = 1; lua_rawgeti(L, 1, i) == LUA_TSTRING; ++i) {
    names.emplace_back(lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  return push_strings(L, nearest_names(names, luaL_checkstring(L, 2)));
}

// signatures(namespace, name): a list of texts, empty when there is no such operator.
int signatures(lua_State* L) {
  std::vector<std::string> texts;
  if (const Operator* op = find_operator(luaL_checkstring(L, 1), luaL_checkstring(L, 2))) {
    for (const auto* list : {&op->overloads, &op->out_overloads}) {
      for (const auto& overload : *list) texts.push_back(overload.signature());
    }
  }
  return push_strings(L, texts);
}

// signatures_of(function): those of a function that is an operator, else nil.
int signatures_of(lua_State* L) {
  const Operator* op = operator_of(L, 1);
  if (!op) return lua_pushnil(L), 1;
  std::vector<std::string> texts;
  for (const auto* list : {&op->overloads, &op->out_overloads}) {
    for (const auto& overload : *list) texts.push_back(overload.signature());
  }
  return push_strings(L, texts);
}

int get_stubs(lua_State* L) {
  const std::string text = operator_stubs();
  lua_pushlstring(L, text.data(), text.size());
  return 1;
}

int is_tensor_value(lua_State* L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, is_tensor(L, 1));
  return 1;
}

// Bytes of storage that live tensors brought with them, as the collector was told.
int live_bytes(lua_State* L) {
  lua_pushinteger(L, static_cast<lua_Integer>(bridge(L).live_bytes));
  return 1;
}

}  // namespace

int open_tensor(lua_State* L) {
  const luaL_Reg functions[] = {
      {"tensor", guard<tensor_from_lua>},   {"is_tensor", guard<is_tensor_value>},
      {"operator", guard<get_operator>},    {"operator_names", guard<list_operators>},
      {"signatures", guard<signatures>},    {"signatures_of", guard<signatures_of>},
      {"operator_stubs", guard<get_stubs>}, {"nearest", guard<nearest>},
      {"live_bytes", guard<live_bytes>},    {nullptr, nullptr}};
  luaL_newlib(L, functions);
  add_scope_functions(L);
  return 1;
}

}  // namespace gamut::script
