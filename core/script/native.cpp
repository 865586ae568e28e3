// The list of native modules. One line each; scripts get them by require "gamut.native.<name>".
#include "script/native.h"

namespace gamut::script {

// Each is in bind_<name>.cpp and pushes one table.
int open_tensor(lua_State* L);
int open_autograd(lua_State* L);
int open_random(lua_State* L);
int open_runtime(lua_State* L);
int open_json(lua_State* L);
int open_safetensors(lua_State* L);
int open_checkpoint(lua_State* L);
int open_torch_file(lua_State* L);
int open_zlib(lua_State* L);
int open_nn(lua_State* L);
int open_plugins(lua_State* L);
int open_data(lua_State* L);
int open_codes(lua_State* L);
int open_fetch(lua_State* L);
int open_config(lua_State* L);
int open_report(lua_State* L);
int open_system(lua_State* L);
int open_process(lua_State* L);
int open_prepare(lua_State* L);
int open_telemetry(lua_State* L);
int open_cuda_module(lua_State* L);

void register_native_modules(lua_State* L) {
  const luaL_Reg modules[] = {
      {"gamut.native.tensor", guard<open_tensor>},
      {"gamut.native.autograd", guard<open_autograd>},
      {"gamut.native.random", guard<open_random>},
      {"gamut.native.runtime", guard<open_runtime>},
      {"gamut.native.json", guard<open_json>},
      {"gamut.native.safetensors", guard<open_safetensors>},
      {"gamut.native.checkpoint", guard<open_checkpoint>},
      {"gamut.native.torch_file", guard<open_torch_file>},
      {"gamut.native.zlib", guard<open_zlib>},
      {"gamut.native.nn", guard<open_nn>},
      {"gamut.native.plugins", guard<open_plugins>},
      {"gamut.native.data", guard<open_data>},
      {"gamut.native.codes", guard<open_codes>},
      {"gamut.native.fetch", guard<open_fetch>},
      {"gamut.native.config", guard<open_config>},
      {"gamut.native.report", guard<open_report>},
      {"gamut.native.system", guard<open_system>},
      {"gamut.native.process", guard<open_process>},
      {"gamut.native.prepare", guard<open_prepare>},
      {"gamut.native.telemetry", guard<open_telemetry>},
      {"gamut.native.cuda", guard<open_cuda_module>},
      {nullptr, nullptr},
  };
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  luaL_setfuncs(L, modules, 0);
  lua_pop(L, 1);
}

}  // namespace gamut::script
