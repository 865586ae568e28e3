// gamut.native.json: encode, decode, array, null. What becomes what: json.h.
#include <gamut/error.h>

#include "checkpoint/json_text.h"
#include "script/json.h"
#include "script/json_array.h"
#include "script/table_fields.h"

namespace gamut::script {
namespace {

NonFinite nonfinite_of(lua_State* L, int options) {
  const std::string name = string_field(L, options, "nonfinite", "error");
  if (name == "error") return NonFinite::refuse;
  if (name == "null") return NonFinite::null;
  if (name == "tagged") return NonFinite::tagged;
  throw Error(
      c10::str("json: nonfinite must be \"error\", \"null\" or \"tagged\", got \"", name, "\""));
}

// json.encode(value, {indent = 2, nonfinite = "error"|"null"|"tagged"}) -> text. Keys are sorted.
int encode(lua_State* L) {
  luaL_checkany(L, 1);
  check_fields(L, 2, "json.encode", {"indent", "nonfinite"});
  const auto indent = static_cast<int>(integer_field(L, 2, "indent", -1));
  const std::string text = json_from_lua(L, 1, nonfinite_of(L, 2), "value").dump(indent);
  lua_pushlstring(L, text.data(), text.size());
  return 1;
}

// json.decode(text, {nonfinite = "error"|"tagged"}) -> value
int decode(lua_State* L) {
  size_t size = 0;
  const char* text = luaL_checklstring(L, 1, &size);
  check_fields(L, 2, "json.decode", {"nonfinite"});
  const NonFinite policy = nonfinite_of(L, 2);
  push_json(L, checkpoint::parse_json({text, size}, "the text"), policy);
  return 1;
}

// json.array(table) -> the same table, written as a list also when it is empty.
int array(lua_State* L) {
  if (lua_isnoneornil(L, 1)) lua_newtable(L);
  luaL_checktype(L, -1, LUA_TTABLE);
  mark_json_array(L, -1);
  return 1;
}

}  // namespace

int open_json(lua_State* L) {
  const luaL_Reg functions[] = {{"encode", guard<encode>},
                                {"decode", guard<decode>},
                                {"array", guard<array>},
                                {nullptr, nullptr}};
  luaL_newlib(L, functions);
  lua_pushlightuserdata(L, nullptr);
  lua_setfield(L, -2, "null");
  return 1;
}

}  // namespace gamut::script
