// The fused operators, registered with LibTorch's dispatcher as gamut::<name>:
// gamut.ops.gamut.<name> in Lua, <gamut/ops.h> in a plugin.
#pragma once

namespace gamut::ops {

// Links the operators into the program; they register themselves before main.
void link_operators();

}  // namespace gamut::ops
