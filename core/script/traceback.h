// The stack of a failed script as its author should read it.
#pragma once

#include <string>

#include "script/lua.h"

namespace gamut::script {

// Call chain from `level` outwards, one line a frame, the author's files only; what the library did
// in between is counted, what it did to start them is not. With `full`, every frame as Lua gives
// it.
std::string lua_traceback(lua_State* L, int level, const std::string& library_folder, bool full);

}  // namespace gamut::script
