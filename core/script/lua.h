// Lua's C API and the guard that every bound function runs under.
//
// We link Lua built as C++: luaL_error throws, so destructors run. A C++ exception of ours must
// still be turned into a Lua error with its message, and that is what `guard` does. Bound code
// never writes `catch (...)`: that is how Lua's own errors travel.
#pragma once

#include <exception>
#include <lua.hpp>
#include <string>

namespace gamut::script {

// The sentence a user should read: of a c10::Error the message without C++ stack, else what().
std::string message_of(const std::exception& error);

// Raises `message` with the position of the innermost Lua line outside of the gamut library: the
// line that the user can change.
int raise_for_user(lua_State* L, const std::string& message);

// lua_pushcfunction(L, guard<my_function>).
template <int (*Function)(lua_State*)>
int guard(lua_State* L) {
  std::string message;
  try {
    return Function(L);
  } catch (const std::exception& error) {
    message = message_of(error);
  }
  // Outside of the handler, with the C++ exception destroyed.
  return raise_for_user(L, message);
}

}  // namespace gamut::script
