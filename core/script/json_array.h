// The mark that tells an empty list of JSON from an empty object: a metatable.
#pragma once

#include "script/lua.h"

namespace gamut::script {

constexpr const char* kJsonArrayMetatable = "gamut.json.array";

// Marks the table at that index.
inline void mark_json_array(lua_State* L, int index) {
  index = lua_absindex(L, index);
  luaL_newmetatable(L, kJsonArrayMetatable);
  lua_setmetatable(L, index);
}

inline bool is_json_array(lua_State* L, int index) {
  if (!lua_getmetatable(L, index)) return false;
  luaL_getmetatable(L, kJsonArrayMetatable);
  const bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

}  // namespace gamut::script
