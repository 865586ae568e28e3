// Calls from C++ into a mixer that a script wrote.
#include "script/lua_mixer.h"

#include "script/option_values.h"
#include "script/plugin_objects.h"
#include "script/tensor.h"
#include "script/userdata.h"

namespace gamut::script {
namespace {

const char cell_key = 0;

// Leaves the stack as it found it, whatever happens in between.
class StackGuard {
 public:
  explicit StackGuard(lua_State* L) : L_(L), top_(lua_gettop(L)) {
    GAMUT_CHECK(lua_checkstack(L, 16), "Lua's stack is full: mixers are nested too deeply");
  }
  ~StackGuard() { lua_settop(L_, top_); }

 private:
  lua_State* L_;
  int top_;
};

// As lua_call, with a Lua error as gamut::Error: C++ plugins between here and the script see only
// exceptions that they may know.
void call(lua_State* L, int arguments, int results) {
  if (lua_pcall(L, arguments, results, 0) == LUA_OK) return;
  size_t size = 0;
  const char* message = luaL_tolstring(L, -1, &size);
  throw Error(std::string(message, size));
}

// The instance's method of that name, and the instance as its first argument.
void push_method_call(lua_State* L, int instance, const char* name) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, instance);
  lua_getfield(L, -1, name);
  lua_insert(L, -2);
}

void push_context(lua_State* L, const MixerContext& context) {
  lua_createtable(L, 0, 4);
  push_tensor(L, context.positions);
  lua_setfield(L, -2, "positions");
  push_tensor(L, context.cu_seqlens);
  lua_setfield(L, -2, "cu_seqlens");
  lua_pushboolean(L, context.training);
  lua_setfield(L, -2, "training");
}

}  // namespace

std::shared_ptr<StateHandle::Cell> state_cell(lua_State* L) {
  StackGuard guard(L);
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

LuaMixer::LuaMixer(std::shared_ptr<StateHandle::Cell> cell, int class_reference,
                   const Options& options)
    : cell_(std::move(cell)) {
  lua_State* L = state();
  StackGuard guard(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, class_reference);
  push_option_map(L, options.values());
  call(L, 1, 1);
  const int instance = lua_gettop(L);
  for (const char* method : {"named_parameters", "named_buffers"}) {
    lua_getfield(L, instance, method);
    lua_pushvalue(L, instance);
    call(L, 1, 1);
    for (auto& entry : to_named_tensors(L, -1, method)) {
      const bool trained = entry.tensor.requires_grad();
      trained ? register_parameter(entry.name, entry.tensor)
              : register_buffer(entry.name, entry.tensor);
    }
  }
  lua_settop(L, instance);
  instance_ = luaL_ref(L, LUA_REGISTRYINDEX);
}

LuaMixer::~LuaMixer() {
  if (cell_->main) luaL_unref(cell_->main, LUA_REGISTRYINDEX, instance_);
}

// The thread that is running if it belongs to our state, else the state's main thread.
lua_State* LuaMixer::state() const {
  GAMUT_CHECK(cell_->main, "the script that registered this mixer has ended");
  lua_State* active = ActiveState::current();
  const bool ours = active && state_cell(active) == cell_;
  return ours ? active : cell_->main;
}

at::Tensor LuaMixer::forward(const at::Tensor& x, MixerContext& context) {
  lua_State* L = state();
  StackGuard guard(L);
  StateObject* borrowed = nullptr;
  if (context.state) borrowed = &push_borrowed_state(L, context.state);
  const int state_index = lua_gettop(L);
  // The script may have kept the state object; it must not reach into a dead State later.
  struct Expire {
    StateObject* object;
    ~Expire() {
      if (object) object->expired = true;
    }
  } expire{borrowed};
  push_method_call(L, instance_, "forward");
  push_tensor(L, x);
  push_context(L, context);
  if (borrowed) {
    lua_pushvalue(L, state_index);
    lua_setfield(L, -2, "state");
  }
  call(L, 3, 1);
  const at::Tensor* y = test_tensor(L, -1);
  GAMUT_CHECK(y, "its forward returned ", describe_value(L, -1), " instead of a tensor");
  return *y;
}

State LuaMixer::new_state(int64_t batch) const {
  lua_State* L = state();
  StackGuard guard(L);
  push_method_call(L, instance_, "new_state");
  lua_pushinteger(L, batch);
  call(L, 2, 1);
  auto* object = test_object<StateObject>(L, -1);
  GAMUT_CHECK(object, "its new_state returned ", describe_value(L, -1),
              " instead of a state made by nn.state{...}");
  return object->get();
}

}  // namespace gamut::script
