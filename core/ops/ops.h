// Fused operators that the Lua layers use, registered as gamut::<name>: gamut.ops.gamut.<name> in
// Lua.
#pragma once

namespace gamut::ops {

// Links the operators into the program; they register themselves before main.
void link_operators();

}  // namespace gamut::ops
