// Calls an operator of LibTorch with what a script passed.
#pragma once

#include "script/lua.h"
#include "script/schema.h"

namespace gamut::script {

// Calls `op` with the values from stack index `first` to the top; pushes its results and returns
// their number. Raises a Lua error when no overload fits or the operator fails.
int call_operator(lua_State* L, const Operator& op, int first = 1);

// Pushes a Lua function that calls `op`.
void push_operator(lua_State* L, const Operator& op);

// The operator that the function at `index` calls, or null when it is another function.
const Operator* operator_of(lua_State* L, int index);

// What to say when no overload of `op` takes these arguments.
std::string mismatch_message(lua_State* L, const Operator& op, int first);

// The arguments in words: "(float32[2, 3] tensor, 4, {dim = 1})".
std::string describe_arguments(lua_State* L, int first);

}  // namespace gamut::script
