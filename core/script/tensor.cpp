// The life of a tensor userdata: made, checked, collected.
#include "script/tensor.h"

#include "script/memory.h"
#include "script/tensor_members.h"

namespace gamut::script {
namespace {

const char metatable_key = 0;

constexpr char kFreed[] =
    "this tensor was freed when the gamut.scope that made it ended; return it from the scope, or "
    "call gamut.keep on it inside";

int collect(lua_State* L) {
  auto* box = static_cast<TensorBox*>(lua_touserdata(L, 1));
  box->unlink();
  forget_bytes(bridge(L), *box);
  box->~TensorBox();
  return 0;
}

int same(lua_State* L) {
  const auto *a = tensor_box(L, 1), *b = tensor_box(L, 2);
  lua_pushboolean(L, a && b && a->tensor.is_same(b->tensor));
  return 1;
}

}  // namespace

TensorBox* tensor_box(lua_State* L, int index) {
  void* data = lua_touserdata(L, index);
  if (!data || !lua_getmetatable(L, index)) return nullptr;
  const bool ok = lua_topointer(L, -1) == bridge(L).tensor_metatable;
  lua_pop(L, 1);
  return ok ? static_cast<TensorBox*>(data) : nullptr;
}

void push_tensor(lua_State* L, at::Tensor tensor) {
  if (!tensor.defined()) return lua_pushnil(L);
  BridgeState& state = bridge(L);
  auto* box = new (lua_newuserdatauv(L, sizeof(TensorBox), 0)) TensorBox;
  box->tensor = std::move(tensor);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
  lua_setmetatable(L, -2);
  if (state.scope) state.scope->add(box);
  account_bytes(L, state, *box);
}

bool is_tensor(lua_State* L, int index) {
  return tensor_box(L, index) != nullptr;
}

const at::Tensor* test_tensor(lua_State* L, int index) {
  TensorBox* box = tensor_box(L, index);
  if (!box) return nullptr;
  if (box->freed) luaL_error(L, kFreed);
  return &box->tensor;
}

const at::Tensor& check_tensor(lua_State* L, int index) {
  const at::Tensor* tensor = test_tensor(L, index);
  if (!tensor) {
    const auto message = "expected a tensor, got " + describe_value(L, index);
    luaL_argerror(L, index, lua_pushlstring(L, message.data(), message.size()));
  }
  return *tensor;
}

void open_tensors(lua_State* L) {
  lua_newtable(L);
  bridge(L).tensor_metatable = lua_topointer(L, -1);
  const luaL_Reg meta[] = {{"__gc", collect}, {"__eq", same}, {nullptr, nullptr}};
  luaL_setfuncs(L, meta, 0);
  lua_pushliteral(L, "Tensor");
  lua_setfield(L, -2, "__name");
  add_tensor_members(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable_key);
}

}  // namespace gamut::script
