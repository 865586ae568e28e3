// Construction of Lua objects from C++, their lifetime, and calls of their methods.
#include "script/lua_instance.h"

#include "script/option_values.h"
#include "script/tensor.h"
#include "script/userdata.h"

namespace gamut::script {
namespace {

const char cell_key = 0;

}  // namespace

void call(lua_State* L, int arguments, int results) {
  if (lua_pcall(L, arguments, results, 0) == LUA_OK) return;
  size_t size = 0;
  const char* message = luaL_tolstring(L, -1, &size);
  throw Error(std::string(message, size));
}

std::shared_ptr<StateHandle::Cell> state_cell(lua_State* L) {
  const StackGuard guard(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &cell_key) == LUA_TNIL) {
    StateHandle handle;
    handle.cell = std::make_shared<StateHandle::Cell>();
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    handle.cell->main = lua_tothread(L, -1);
    const luaL_Reg none[] = {{nullptr, nullptr}};
    new_class<StateHandle>(L, none, none);
    push_object(L, std::move(handle));
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &cell_key);
  }
  return check_object<StateHandle>(L, -1).cell;
}

LuaInstance::LuaInstance(std::shared_ptr<StateHandle::Cell> cell, int class_reference,
                         const Options& options)
    : cell_(std::move(cell)) {
  lua_State* L = state();
  const StackGuard guard(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, class_reference);
  push_option_map(L, options.values());
  call(L, 1, 1);
  reference_ = luaL_ref(L, LUA_REGISTRYINDEX);
}

LuaInstance::~LuaInstance() {
  if (cell_->main) luaL_unref(cell_->main, LUA_REGISTRYINDEX, reference_);
}

lua_State* LuaInstance::state() const {
  GAMUT_CHECK(cell_->main, "the script that registered this mixer has ended");
  lua_State* active = ActiveState::current();
  const bool ours = active && state_cell(active) == cell_;
  return ours ? active : cell_->main;
}

void LuaInstance::push() const {
  lua_rawgeti(state(), LUA_REGISTRYINDEX, reference_);
}

void LuaInstance::push_method(const char* name) const {
  lua_State* L = state();
  push();
  lua_getfield(L, -1, name);
  lua_insert(L, -2);
}

bool LuaInstance::has_method(const char* name) const {
  lua_State* L = state();
  const StackGuard guard(L);
  push();
  return lua_getfield(L, -1, name) == LUA_TFUNCTION;
}

LentContext::LentContext(lua_State* L, MixerContext& context) : L_(L), context_(context) {
  if (!context.state) return;
  lent_ = &push_borrowed_state(L, context.state);
  state_index_ = lua_gettop(L);
}

LentContext::~LentContext() {
  if (lent_) lent_->expired = true;
}

void LentContext::push(const EncoderMemory* memory) const {
  lua_createtable(L_, 0, 6);
  push_tensor(L_, context_.positions);
  lua_setfield(L_, -2, "positions");
  push_tensor(L_, context_.cu_seqlens);
  lua_setfield(L_, -2, "cu_seqlens");
  lua_pushboolean(L_, context_.training);
  lua_setfield(L_, -2, "training");
  if (memory) {
    push_tensor(L_, memory->values);
    lua_setfield(L_, -2, "memory");
    push_tensor(L_, memory->lengths);
    lua_setfield(L_, -2, "memory_lengths");
  }
  if (!lent_) return;
  lua_pushvalue(L_, state_index_);
  lua_setfield(L_, -2, "state");
}

const at::Tensor& returned_tensor(lua_State* L, const char* what) {
  const at::Tensor* tensor = test_tensor(L, -1);
  GAMUT_CHECK(tensor, "its ", what, " returned ", describe_value(L, -1), " instead of a tensor");
  return *tensor;
}

}  // namespace gamut::script
