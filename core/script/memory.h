// Tells Lua's collector about the bytes behind tensors, which it cannot see.
//
// To Lua a tensor is a userdata of some fifty bytes; a loop could fill the machine's memory before
// the collector found reason to run. So we count the storage that tensors bring with them, and run
// a full collection whenever it has grown by a quarter, and by 64 MiB at least, since the last one.
// Scopes make this a second line of defence; without them it keeps a long loop flat.
#pragma once

#include "script/scope.h"
#include "script/state.h"

namespace gamut::script {

// Call with the new box on the stack. May run the collector.
void account_bytes(lua_State* L, BridgeState& state, TensorBox& box);

void forget_bytes(BridgeState& state, TensorBox& box);

}  // namespace gamut::script
