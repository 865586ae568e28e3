// gamut.native.runtime: threads, devices, versions and signals.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>

#include "script/signals.h"
#include "script/tensor_allocator.h"

namespace gamut::script {
namespace {

int set_num_threads(lua_State* L) {
  const auto n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 1, 1, "at least one thread is needed");
  at::set_num_threads(static_cast<int>(n));
  return 0;
}

int num_threads(lua_State* L) {
  lua_pushinteger(L, at::get_num_threads());
  return 1;
}

// Gives memory that waits for the next tensors back to the system.
int release(lua_State* /*L*/) {
  release_memory();
  return 0;
}

int cuda_available(lua_State* L) {
  lua_pushboolean(L, at::hasCUDA());
  return 1;
}

// The signal that asked this program to end, or nil.
int interrupted_by(lua_State* L) {
  lua_pushstring(L, interrupted());
  return 1;
}

}  // namespace

int open_runtime(lua_State* L) {
  const luaL_Reg functions[] = {
      {"set_num_threads", guard<set_num_threads>}, {"num_threads", guard<num_threads>},
      {"release_memory", guard<release>},          {"cuda_available", guard<cuda_available>},
      {"interrupted", guard<interrupted_by>},      {nullptr, nullptr}};
  luaL_newlib(L, functions);
  lua_pushliteral(L, GAMUT_VERSION);
  lua_setfield(L, -2, "version");
  lua_pushliteral(L, TORCH_VERSION);
  lua_setfield(L, -2, "libtorch_version");
  return 1;
}

}  // namespace gamut::script
