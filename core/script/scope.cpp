// gamut.scope, gamut.new_scope and gamut.keep.
#include "script/scope.h"

#include "script/memory.h"
#include "script/tensor.h"

namespace gamut::script {

Scope::Scope(BridgeState& state) : state_(state), outer_(state.scope) {
  sentinel_.previous = sentinel_.next = &sentinel_;
  state_.scope = this;
}

void Scope::add(TensorBox* box) {
  box->previous = sentinel_.previous;
  box->next = &sentinel_;
  box->previous->next = box;
  sentinel_.previous = box;
}

void Scope::leave() {
  // Scopes closed out of order: what was opened inside ends with this one.
  while (state_.scope && state_.scope != this) state_.scope->close();
  state_.scope = outer_;
  open_ = false;
}

void Scope::close() {
  if (!open_) return;
  leave();
  while (sentinel_.next != &sentinel_) {
    TensorBox* box = sentinel_.next;
    box->unlink();
    forget_bytes(state_, *box);
    box->freed = true;
    box->tensor.reset();
  }
}

void Scope::release() {
  if (!open_) return;
  // Scopes inside it may be running: they stay open, and lie in the one around it from now on.
  Scope** link = &state_.scope;
  while (*link != this) link = &(*link)->outer_;
  *link = outer_;
  open_ = false;
  while (sentinel_.next != &sentinel_) {
    TensorBox* box = sentinel_.next;
    box->unlink();
    if (outer_) outer_->add(box);
  }
}

namespace {

const char scope_metatable = 0;

void move_one(lua_State* L, int index, Scope* to) {
  TensorBox* box = tensor_box(L, index);
  if (!box || box->freed || !box->in_scope()) return;
  box->unlink();
  if (to) to->add(box);
}

// `seen` is the stack index of a set of tables that were visited.
void move_nested(lua_State* L, int index, int seen, Scope* to) {
  luaL_checkstack(L, 6, "tables nested too deeply");
  if (lua_type(L, index) == LUA_TUSERDATA) return move_one(L, index, to);
  if (lua_type(L, index) != LUA_TTABLE) return;
  lua_pushvalue(L, index);
  if (lua_rawget(L, seen) != LUA_TNIL) return lua_pop(L, 1);
  lua_pop(L, 1);
  lua_pushvalue(L, index);
  lua_pushboolean(L, 1);
  lua_rawset(L, seen);
  lua_pushnil(L);
  while (lua_next(L, index)) {
    move_nested(L, lua_gettop(L), seen, to);
    lua_pop(L, 1);
  }
}

// gamut.scope(fn, ...): the results of fn(...). Errors unwind through the destructor of `scope`.
int scope_call(lua_State* L) {
  luaL_checkany(L, 1);
  Scope scope(bridge(L));
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  for (int i = 1, n = lua_gettop(L); i <= n; ++i) move_tensors(L, i, scope.outer());
  return lua_gettop(L);
}

Scope* check_scope(lua_State* L) {
  auto* scope = static_cast<Scope*>(lua_touserdata(L, 1));
  bool ok = scope && lua_getmetatable(L, 1);
  if (ok) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &scope_metatable);
    ok = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  if (!ok) luaL_error(L, "expected a scope from gamut.new_scope, got a %s", luaL_typename(L, 1));
  return scope;
}

int scope_new(lua_State* L) {
  new (lua_newuserdatauv(L, sizeof(Scope), 0)) Scope(bridge(L));
  lua_rawgetp(L, LUA_REGISTRYINDEX, &scope_metatable);
  lua_setmetatable(L, -2);
  return 1;
}

int scope_close(lua_State* L) {
  check_scope(L)->close();
  return 0;
}

// A scope that was dropped without being closed takes nothing with it.
int scope_collect(lua_State* L) {
  Scope* scope = check_scope(L);
  scope->release();
  scope->~Scope();
  return 0;
}

// gamut.keep(...): takes tensors, or tables of them, out of every scope; returns its arguments.
int keep(lua_State* L) {
  for (int i = 1, n = lua_gettop(L); i <= n; ++i) move_tensors(L, i, nullptr);
  return lua_gettop(L);
}

}  // namespace

void move_tensors(lua_State* L, int index, Scope* to) {
  const int type = lua_type(L, index);
  if (type == LUA_TUSERDATA) return move_one(L, index, to);
  if (type != LUA_TTABLE) return;
  index = lua_absindex(L, index);
  lua_newtable(L);
  move_nested(L, index, lua_gettop(L), to);
  lua_pop(L, 1);
}

void add_scope_functions(lua_State* L) {
  lua_newtable(L);
  const luaL_Reg methods[] = {{"close", guard<scope_close>}, {nullptr, nullptr}};
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  const luaL_Reg meta[] = {
      {"__close", guard<scope_close>}, {"__gc", guard<scope_collect>}, {nullptr, nullptr}};
  luaL_setfuncs(L, meta, 0);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &scope_metatable);

  const luaL_Reg functions[] = {{"scope", guard<scope_call>},
                                {"new_scope", guard<scope_new>},
                                {"keep", guard<keep>},
                                {nullptr, nullptr}};
  luaL_setfuncs(L, functions, 0);
}

}  // namespace gamut::script
