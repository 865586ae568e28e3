// What the tensor bridge keeps for each Lua state: found in constant time from any coroutine.
#pragma once

#include <cstddef>
#include <string>

#include "script/lua.h"

namespace gamut::script {

struct Scope;

struct BridgeState {
  const void* tensor_metatable = nullptr;  // identity of the metatable that marks a tensor
  Scope* scope = nullptr;                  // innermost open scope, or null

  // Bytes of storage that Lua's collector cannot see, see memory.cpp.
  size_t live_bytes = 0;
  size_t collect_at = 0;

  // For tracebacks: the folder of the Lua library, and whether its frames are shown too.
  std::string library_folder;
  bool full_traceback = false;

  // An error that the library caught and raised again with more to say, and where it came from.
  struct Origin {
    std::string message;
    std::string place;
    std::string traceback;
  } origin;
};

// Lua gives each state room for one pointer and copies it into new coroutines.
inline BridgeState*& bridge_slot(lua_State* L) {
  return *static_cast<BridgeState**>(lua_getextraspace(L));
}
inline BridgeState& bridge(lua_State* L) {
  return *bridge_slot(L);
}

}  // namespace gamut::script
