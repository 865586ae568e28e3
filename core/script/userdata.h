// C++ objects as Lua userdata: one metatable a type, destroyed by the collector.
//
// Register a type once with new_class<T>; T names itself by `static constexpr const char* kName`,
// which is what error messages call it.
#pragma once

#include <new>
#include <string>
#include <utility>

#include "script/lua.h"

namespace gamut::script {

template <class T>
int destroy_object(lua_State* L) {
  static_cast<T*>(lua_touserdata(L, 1))->~T();
  return 0;
}

// Creates the metatable of T with these metamethods and methods (looked up by __index unless the
// metamethods define one).
template <class T>
void new_class(lua_State* L, const luaL_Reg* metamethods, const luaL_Reg* methods) {
  luaL_newmetatable(L, T::kName);
  lua_pushcfunction(L, destroy_object<T>);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "methods");
  lua_setfield(L, -2, "__index");
  luaL_setfuncs(L, metamethods, 0);
  lua_pop(L, 1);
}

// Pushes a new object; user_values are further Lua values that it keeps alive.
template <class T>
T& push_object(lua_State* L, T object, int user_values = 0) {
  void* memory = lua_newuserdatauv(L, sizeof(T), user_values);
  T* made = new (memory) T(std::move(object));
  luaL_setmetatable(L, T::kName);
  return *made;
}

template <class T>
T* test_object(lua_State* L, int index) {
  return static_cast<T*>(luaL_testudata(L, index, T::kName));
}

template <class T>
T& check_object(lua_State* L, int index) {
  return *static_cast<T*>(luaL_checkudata(L, index, T::kName));
}

// For an __index of T's own: pushes the method called like the key at `key_index`, or nil.
template <class T>
bool push_method(lua_State* L, int key_index) {
  key_index = lua_absindex(L, key_index);
  luaL_getmetatable(L, T::kName);
  lua_getfield(L, -1, "methods");
  lua_remove(L, -2);
  lua_pushvalue(L, key_index);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  return !lua_isnil(L, -1);
}

}  // namespace gamut::script
