// The C++ parts that Lua loads with require, as `gamut.native.<name>`; scripts/gamut wraps them.
#pragma once

#include "script/lua.h"

namespace gamut::script {

// Puts every native module into package.preload.
void register_native_modules(lua_State* L);

}  // namespace gamut::script
