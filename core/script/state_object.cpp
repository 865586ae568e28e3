// The state of a mixer in Lua: `state.position`, `state.tensors`, and its tensors by name.
#include <ATen/ATen.h>

#include "script/enums.h"
#include "script/plugin_objects.h"
#include "script/tensor.h"
#include "script/userdata.h"

namespace gamut::script {

State& StateObject::get() {
  GAMUT_CHECK(!expired,
              "this state belonged to a call that has ended; use context.state inside of the "
              "forward that it was given to, or keep state:clone()");
  return borrowed ? *borrowed : own;
}

void push_state(lua_State* L, State state) {
  StateObject object;
  object.own = std::move(state);
  push_object(L, std::move(object));
}

StateObject& push_borrowed_state(lua_State* L, State* state) {
  StateObject object;
  object.borrowed = state;
  return push_object(L, std::move(object));
}

namespace {

at::Tensor* find(State& state, const char* name) {
  for (auto& entry : state.tensors) {
    if (entry.name == name) return &entry.tensor;
  }
  return nullptr;
}

// state.position, state.tensors, state:method(), state.NAME of a tensor.
int index(lua_State* L) {
  State& state = check_object<StateObject>(L, 1).get();
  const std::string name = luaL_checkstring(L, 2);
  if (name == "position") {
    lua_pushinteger(L, state.position);
  } else if (name == "tensors") {
    push_named_tensors(L, state.tensors);
  } else if (!push_method<StateObject>(L, 2)) {
    at::Tensor* tensor = find(state, name.c_str());
    push_tensor(L, tensor ? *tensor : at::Tensor());
  }
  return 1;
}

// state.position = n; state.NAME = tensor, of a tensor that it has.
int new_index(lua_State* L) {
  State& state = check_object<StateObject>(L, 1).get();
  const std::string name = luaL_checkstring(L, 2);
  if (name == "position") {
    state.position = luaL_checkinteger(L, 3);
    return 0;
  }
  at::Tensor* tensor = find(state, name.c_str());
  GAMUT_CHECK(tensor, "this state has no tensor `", name,
              "`; its tensors are those that new_state gave it");
  *tensor = check_tensor(L, 3);
  return 0;
}

// A new state with `convert` applied to every tensor.
template <class Convert>
int push_converted(lua_State* L, const State& state, Convert convert) {
  State copy = state;
  for (auto& entry : copy.tensors) entry.tensor = convert(entry.tensor);
  push_state(L, std::move(copy));
  return 1;
}

// state:clone() -> a copy that shares nothing.
int clone(lua_State* L) {
  return push_converted(L, check_object<StateObject>(L, 1).get(),
                        [](const at::Tensor& t) { return t.clone(); });
}

// state:detach() -> the same values, cut from the graph of gradients.
int detach(lua_State* L) {
  return push_converted(L, check_object<StateObject>(L, 1).get(),
                        [](const at::Tensor& t) { return t.detach(); });
}

// state:to{device=, dtype=} -> a converted copy; the dtype applies to floating-point tensors.
int to(lua_State* L) {
  State& state = check_object<StateObject>(L, 1).get();
  luaL_checktype(L, 2, LUA_TTABLE);
  at::TensorOptions device, dtype;
  if (lua_getfield(L, 2, "device") != LUA_TNIL) {
    device = device.device(c10::Device(luaL_checkstring(L, -1)));
  }
  if (lua_getfield(L, 2, "dtype") != LUA_TNIL) {
    const std::string name = luaL_checkstring(L, -1);
    const auto type = dtype_from_name(name);
    GAMUT_CHECK(type, "there is no dtype `", name, "`; float32 and bfloat16 are two");
    dtype = dtype.dtype(*type);
  }
  return push_converted(L, state, [&](const at::Tensor& t) {
    return t.to(t.is_floating_point() ? device.merge_in(dtype) : device);
  });
}

}  // namespace

void open_state_class(lua_State* L) {
  const luaL_Reg metamethods[] = {
      {"__index", guard<index>}, {"__newindex", guard<new_index>}, {nullptr, nullptr}};
  const luaL_Reg methods[] = {
      {"clone", guard<clone>}, {"detach", guard<detach>}, {"to", guard<to>}, {nullptr, nullptr}};
  new_class<StateObject>(L, metamethods, methods);
}

}  // namespace gamut::script
