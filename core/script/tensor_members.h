// What `x.name`, `x:name(...)`, `x[i]` and operators mean for a tensor.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "script/lua.h"

namespace gamut::script {

// Adds index, operator and text metamethods to the metatable on top of the stack.
void add_tensor_members(lua_State* L);

// The methods that are not operators, see tensor_methods.cpp.
extern const luaL_Reg tensor_methods[];

// Properties: read and, where `set` is given, written as fields.
struct TensorProperty {
  const char* name;
  int (*get)(lua_State* L, const at::Tensor& tensor);
  void (*set)(lua_State* L, const at::Tensor& tensor, int value);
  const char* type;  // for the editor stubs
  const char* doc;
};
const std::vector<TensorProperty>& tensor_properties();

// Pushes sizes or strides as a list; returns 1.
int push_list(lua_State* L, at::IntArrayRef values);

// x:at{...} and x:set_at({...}, value), see tensor_at.cpp.
int tensor_at(lua_State* L);
int tensor_set_at(lua_State* L);

// Nested tables, numbers, booleans or strings of bytes as a tensor, see tensor_build.cpp.
int tensor_from_lua(lua_State* L);
int tensor_to_list(lua_State* L);
int tensor_item(lua_State* L);

// As PyTorch prints it, see tensor_text.cpp.
std::string tensor_text(const at::Tensor& tensor);

}  // namespace gamut::script
