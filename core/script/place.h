// The line of the author's that a message begins with.
#pragma once

#include <string>

#include "script/lua.h"

namespace gamut::script {

// `file:line` of the innermost frame from `level` outwards that runs a script of the author's, or
// "" where there is none.
std::string author_place(lua_State* L, int level, const std::string& library_folder);

// The message with the author's place in front where it gives none, or gives a line of the library.
// What says where in the model it happened, `in blocks.3 (gdn): `, stays behind the place.
std::string placed(const std::string& message, const std::string& place,
                   const std::string& library_folder);

}  // namespace gamut::script
