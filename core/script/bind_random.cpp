// gamut.native.random: seeds, generator states and determinism.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Functions.h>

#include <mutex>

#include "script/arguments.h"
#include "script/tensor.h"

namespace gamut::script {
namespace {

const char generator_metatable = 0;

at::Generator default_generator(lua_State* L, int index) {
  const c10::Device device =
      lua_isnoneornil(L, index) ? c10::Device(c10::kCPU) : check_device(L, index);
  return at::globalContext().defaultGenerator(device);
}

// manual_seed(n): the CPU's generator and those of all CUDA devices.
int manual_seed(lua_State* L) {
  at::manual_seed(static_cast<uint64_t>(luaL_checkinteger(L, 1)));
  return 0;
}

// rng_state([device]): uint8 tensor.
int rng_state(lua_State* L) {
  auto generator = default_generator(L, 1);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  push_tensor(L, generator.get_state());
  return 1;
}

// set_rng_state(state, [device])
int set_rng_state(lua_State* L) {
  const at::Tensor& state = check_tensor(L, 1);
  auto generator = default_generator(L, 2);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state.cpu());
  return 0;
}

// deterministic(on, [warn_only]): operators without a deterministic form raise an error.
int deterministic(lua_State* L) {
  luaL_checktype(L, 1, LUA_TBOOLEAN);
  at::globalContext().setDeterministicAlgorithms(lua_toboolean(L, 1), lua_toboolean(L, 2));
  return 0;
}

int is_deterministic(lua_State* L) {
  lua_pushboolean(L, at::globalContext().deterministicAlgorithms());
  return 1;
}

at::Generator make_generator(c10::Device device) {
  if (device.is_cpu()) return at::detail::createCPUGenerator();
  auto generator = at::globalContext().defaultGenerator(device).clone();
  generator.seed();
  return generator;
}

// generator{seed =, device =}: a stream of random numbers of its own, for `generator =` arguments.
int new_generator(lua_State* L) {
  c10::Device device(c10::kCPU);
  std::optional<uint64_t> seed;
  if (!lua_isnoneornil(L, 1)) {
    luaL_checktype(L, 1, LUA_TTABLE);
    if (lua_getfield(L, 1, "device") != LUA_TNIL) device = check_device(L, lua_gettop(L));
    if (lua_getfield(L, 1, "seed") != LUA_TNIL) {
      seed = static_cast<uint64_t>(luaL_checkinteger(L, lua_gettop(L)));
    }
  }
  auto generator = make_generator(device);
  if (seed) generator.set_current_seed(*seed);
  push_generator(L, std::move(generator));
  return 1;
}

at::Generator& self(lua_State* L) {
  const auto* generator = test_generator(L, 1);
  if (!generator) luaL_error(L, "expected a generator, got a %s", luaL_typename(L, 1));
  return const_cast<at::Generator&>(*generator);
}

int generator_seed(lua_State* L) {
  self(L).set_current_seed(static_cast<uint64_t>(luaL_checkinteger(L, 2)));
  lua_settop(L, 1);
  return 1;
}

int generator_state(lua_State* L) {
  push_tensor(L, self(L).get_state());
  return 1;
}

int generator_set_state(lua_State* L) {
  self(L).set_state(check_tensor(L, 2).cpu());
  return 0;
}

int generator_collect(lua_State* L) {
  self(L).~Generator();
  return 0;
}

}  // namespace

void push_generator(lua_State* L, at::Generator generator) {
  new (lua_newuserdatauv(L, sizeof(at::Generator), 0)) at::Generator(std::move(generator));
  lua_rawgetp(L, LUA_REGISTRYINDEX, &generator_metatable);
  lua_setmetatable(L, -2);
}

const at::Generator* test_generator(lua_State* L, int index) {
  void* data = lua_touserdata(L, index);
  if (!data || !lua_getmetatable(L, index)) return nullptr;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &generator_metatable);
  const bool ok = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return ok ? static_cast<const at::Generator*>(data) : nullptr;
}

int open_random(lua_State* L) {
  const luaL_Reg methods[] = {{"manual_seed", guard<generator_seed>},
                              {"state", guard<generator_state>},
                              {"set_state", guard<generator_set_state>},
                              {nullptr, nullptr}};
  lua_newtable(L);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, guard<generator_collect>);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, "Generator");
  lua_setfield(L, -2, "__name");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &generator_metatable);

  const luaL_Reg functions[] = {{"manual_seed", guard<manual_seed>},
                                {"rng_state", guard<rng_state>},
                                {"set_rng_state", guard<set_rng_state>},
                                {"deterministic", guard<deterministic>},
                                {"is_deterministic", guard<is_deterministic>},
                                {"generator", guard<new_generator>},
                                {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
