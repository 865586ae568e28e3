// Values in words, for messages.
#include "script/enums.h"
#include "script/scope.h"
#include "script/tensor.h"

namespace gamut::script {
namespace {

constexpr int kShown = 6;

std::string describe_short(lua_State* L, int index) {
  switch (lua_type(L, index)) {
    case LUA_TNUMBER: {
      std::string text = luaL_tolstring(L, index, nullptr);
      lua_pop(L, 1);
      return text;
    }
    case LUA_TTABLE:
      return "{...}";
    default:
      return describe_value(L, index);
  }
}

std::string describe_table(lua_State* L, int index) {
  index = lua_absindex(L, index);
  std::string text = "{";
  int shown = 0;
  lua_pushnil(L);
  while (lua_next(L, index)) {
    if (shown) text += ", ";
    if (shown++ == kShown) {
      lua_pop(L, 2);
      return text + "...}";
    }
    if (lua_type(L, -2) == LUA_TSTRING) text += std::string(lua_tostring(L, -2)) + " = ";
    text += describe_short(L, lua_gettop(L));
    lua_pop(L, 1);
  }
  return text + "}";
}

}  // namespace

std::string describe_value(lua_State* L, int index) {
  if (const TensorBox* box = tensor_box(L, index)) {
    if (box->freed) return "freed tensor";
    return c10::str(dtype_name(box->tensor.scalar_type()), box->tensor.sizes(), " tensor");
  }
  switch (lua_type(L, index)) {
    case LUA_TNONE:
      return "nothing";
    case LUA_TNUMBER:
      return (lua_isinteger(L, index) ? "integer " : "number ") + describe_short(L, index);
    case LUA_TBOOLEAN:
      return lua_toboolean(L, index) ? "true" : "false";
    case LUA_TSTRING:
      return c10::str('"', lua_tostring(L, index), '"');
    case LUA_TTABLE:
      return describe_table(L, index);
    default:
      return luaL_typename(L, index);
  }
}

}  // namespace gamut::script
