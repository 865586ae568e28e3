// Tensors as Lua values.
#pragma once

#include <ATen/core/Tensor.h>

#include "script/lua.h"

namespace gamut::script {

// Pushes a tensor, or nil for an undefined one. Tells the collector about the bytes it holds and
// enters it into the innermost scope.
void push_tensor(lua_State* L, at::Tensor tensor);

bool is_tensor(lua_State* L, int index);

// The tensor at that index; a Lua argument error that says what was passed instead otherwise.
// The reference stays valid while the value is on the stack.
const at::Tensor& check_tensor(lua_State* L, int index);

}  // namespace gamut::script
