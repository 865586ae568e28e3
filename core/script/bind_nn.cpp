// gamut.native.nn: the few things that the module system needs of a tensor and that no operator
// gives: whether two handles are one tensor, and replacing its storage in place.
#include <ATen/core/Tensor.h>

#include <cmath>
#include <cstdint>

#include "gamut/error.h"
#include "ops/ops.h"
#include "script/place.h"
#include "script/state.h"
#include "script/tensor.h"
#include "script/traceback.h"

namespace gamut::script {
namespace {

// nn.is_tensor(value) -> boolean.
int is_tensor_value(lua_State* L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, is_tensor(L, 1));
  return 1;
}

// nn.identity(tensor) -> integer; equal for two handles of one tensor as long as either lives.
int identity(lua_State* L) {
  const auto* implementation = check_tensor(L, 1).unsafeGetTensorImpl();
  lua_pushinteger(L, static_cast<lua_Integer>(reinterpret_cast<intptr_t>(implementation)));
  return 1;
}

int is_leaf(lua_State* L) {
  lua_pushboolean(L, check_tensor(L, 1).is_leaf());
  return 1;
}

int is_floating_point(lua_State* L) {
  lua_pushboolean(L, check_tensor(L, 1).is_floating_point());
  return 1;
}

// nn.set_data(tensor, data): every handle of `tensor` has the values, type and device of `data`
// afterwards. A gradient goes, as it may have another type.
int set_data(lua_State* L) {
  at::Tensor tensor = check_tensor(L, 1);
  const at::Tensor& data = check_tensor(L, 2);
  GAMUT_CHECK(!data.requires_grad(), "set_data takes a tensor outside of autograd");
  tensor.mutable_grad().reset();
  tensor.set_data(data);
  return 0;
}

// nn.remember_origin(message): called by a message handler that will raise this message again, so
// that the traceback the user sees starts where the error was.
int remember_origin(lua_State* L) {
  BridgeState& state = bridge(L);
  state.origin.message = luaL_checkstring(L, 1);
  state.origin.place = author_place(L, 1, state.library_folder);
  state.origin.traceback = lua_traceback(L, 1, state.library_folder, state.full_traceback);
  return 0;
}

// nn.erf(number) -> number, by the C library, as Python's math.erf.
int erf_of(lua_State* L) {
  lua_pushnumber(L, std::erf(luaL_checknumber(L, 1)));
  return 1;
}

}  // namespace

int open_nn(lua_State* L) {
  ops::link_operators();  // what the layers call as gamut.ops.gamut.<name>
  const luaL_Reg functions[] = {{"is_tensor", guard<is_tensor_value>},
                                {"identity", guard<identity>},
                                {"is_leaf", guard<is_leaf>},
                                {"is_floating_point", guard<is_floating_point>},
                                {"set_data", guard<set_data>},
                                {"remember_origin", guard<remember_origin>},
                                {"erf", guard<erf_of>},
                                {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
