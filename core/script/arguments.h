// Lua values as operator arguments.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/ivalue.h>

#include "script/lua.h"
#include "script/schema.h"

namespace gamut::script {

// How far a value may be bent. Overloads are tried strictly first, so that x + 2 finds the overload
// for numbers rather than a tensor made of 2.
enum class Fit { strict, loose };

// Converts the value at `index`; false when the parameter cannot take it. Loose: a number stands
// for a tensor without dimensions, which leaves the dtype of the other operand alone.
bool convert_argument(lua_State* L, int index, const Parameter& parameter, Fit fit,
                      c10::IValue& out);

// The same for one kind, by name; used by functions that are not operators.
c10::Device check_device(lua_State* L, int index);
c10::ScalarType check_dtype(lua_State* L, int index);
std::vector<int64_t> check_integers(lua_State* L, int index);

// A random generator as a Lua value: gamut.generator{seed = 7}.
void push_generator(lua_State* L, at::Generator generator);
const at::Generator* test_generator(lua_State* L, int index);

}  // namespace gamut::script
