// Named arguments in a table: `f{dir = "runs", step = 3}`. A name that the function does not know
// is an error, as is a value of another type.
#pragma once

#include <gamut/error.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <system_error>
#include <vector>

#include "files/file.h"
#include "script/lua.h"
#include "text/nearest.h"

namespace gamut::script {

// Nil and absent mean no arguments; anything but a table, or an unknown name, throws.
inline void check_fields(lua_State* L, int table, const char* function,
                         std::initializer_list<const char*> known) {
  if (lua_isnoneornil(L, table)) return;
  GAMUT_CHECK(lua_istable(L, table), function, " takes its options as a table, got a ",
              luaL_typename(L, table));
  const std::vector<std::string> names(known.begin(), known.end());
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    const std::string name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "[position]";
    const bool found = std::find(names.begin(), names.end(), name) != names.end();
    GAMUT_CHECK(found, function, " has no option `", name, "`", text::did_you_mean(name, names));
  }
}

// Pushes the field, or nil; false for nil.
inline bool push_field(lua_State* L, int table, const char* name) {
  if (lua_isnoneornil(L, table)) return lua_pushnil(L), false;
  return lua_getfield(L, table, name) != LUA_TNIL;
}

inline std::string string_field(lua_State* L, int table, const char* name,
                                const std::string& otherwise) {
  std::string value = otherwise;
  if (push_field(L, table, name)) {
    GAMUT_CHECK(lua_type(L, -1) == LUA_TSTRING, "`", name, "` must be a string, got a ",
                luaL_typename(L, -1));
    value = lua_tostring(L, -1);
  }
  lua_pop(L, 1);
  return value;
}

inline int64_t integer_field(lua_State* L, int table, const char* name, int64_t otherwise) {
  int64_t value = otherwise;
  if (push_field(L, table, name)) {
    int whole = 0;
    value = lua_tointegerx(L, -1, &whole);
    GAMUT_CHECK(whole && lua_type(L, -1) == LUA_TNUMBER, "`", name,
                "` must be a whole number, got ", luaL_tolstring(L, -1, nullptr));
  }
  lua_pop(L, 1);
  return value;
}

inline double number_field(lua_State* L, int table, const char* name, double otherwise) {
  double value = otherwise;
  if (push_field(L, table, name)) {
    GAMUT_CHECK(lua_type(L, -1) == LUA_TNUMBER, "`", name, "` must be a number, got ",
                luaL_tolstring(L, -1, nullptr));
    value = lua_tonumber(L, -1);
  }
  lua_pop(L, 1);
  return value;
}

inline bool boolean_field(lua_State* L, int table, const char* name, bool otherwise) {
  bool value = otherwise;
  if (push_field(L, table, name)) {
    GAMUT_CHECK(lua_isboolean(L, -1), "`", name, "` must be true or false, got a ",
                luaL_typename(L, -1));
    value = lua_toboolean(L, -1);
  }
  lua_pop(L, 1);
  return value;
}

// The folder that `function` is to write into, made where it is not there.
inline std::string output_folder(lua_State* L, int table, const char* function) {
  const std::string folder = string_field(L, table, "folder", "");
  GAMUT_CHECK(!folder.empty(), function, " needs `folder`");
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) files::fail("make the folder", folder, failed.value());
  return folder;
}

}  // namespace gamut::script
