// Tensors as Lua values.
#pragma once

#include <ATen/core/Tensor.h>

#include "script/lua.h"

namespace gamut::script {

struct TensorBox;

// Pushes a tensor, or nil for an undefined one. Tells the collector about the bytes it holds and
// enters it into the innermost scope.
void push_tensor(lua_State* L, at::Tensor tensor);

bool is_tensor(lua_State* L, int index);

// The tensor at that index; a Lua argument error that says what was passed instead otherwise.
// The reference stays valid while the value is on the stack.
const at::Tensor& check_tensor(lua_State* L, int index);

// The same for values that may be something else: null when it is no tensor, a Lua error when it
// is one that the end of its scope freed.
const at::Tensor* test_tensor(lua_State* L, int index);

// The userdata at that index, freed or not, or null when it is no tensor.
TensorBox* tensor_box(lua_State* L, int index);

// What a value is, for messages: "nil", "number 3", "string \"abc\"", "float32[2, 3] tensor".
std::string describe_value(lua_State* L, int index);

// Makes the metatable; once a state.
void open_tensors(lua_State* L);

}  // namespace gamut::script
