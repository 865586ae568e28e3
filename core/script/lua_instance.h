// An object of a Lua class that C++ holds and calls: what mixers written in Lua are made of.
#pragma once

#include <gamut/encoder_memory.h>
#include <gamut/mixer.h>

#include <memory>

#include "script/active_state.h"
#include "script/plugin_objects.h"

namespace gamut::script {

// Leaves the stack as it found it, whatever happens in between.
class StackGuard {
 public:
  explicit StackGuard(lua_State* L) : L_(L), top_(lua_gettop(L)) {
    GAMUT_CHECK(lua_checkstack(L, 16), "Lua's stack is full: mixers are nested too deeply");
  }
  ~StackGuard() { lua_settop(L_, top_); }
  StackGuard(const StackGuard&) = delete;
  StackGuard& operator=(const StackGuard&) = delete;

 private:
  lua_State* L_;
  int top_;
};

// As lua_call, with a Lua error as gamut::Error: C++ plugins between here and the script see only
// exceptions that they may know.
void call(lua_State* L, int arguments, int results);

class LuaInstance {
 public:
  // Calls the Lua class that `class_reference` refers to in the registry of the cell's state with a
  // table of checked options. Throws gamut::Error with the Lua message and its line.
  LuaInstance(std::shared_ptr<StateHandle::Cell> cell, int class_reference, const Options& options);
  ~LuaInstance();
  LuaInstance(const LuaInstance&) = delete;
  LuaInstance& operator=(const LuaInstance&) = delete;

  // The thread that is running if it belongs to our state, else the state's main thread.
  lua_State* state() const;
  void push() const;
  // Pushes the method of that name, and the instance as its first argument.
  void push_method(const char* name) const;
  bool has_method(const char* name) const;

 private:
  std::shared_ptr<StateHandle::Cell> cell_;
  int reference_ = LUA_NOREF;
};

// A mixer's context as a Lua argument. Its state is lent: the script may have kept the state
// object, which must not reach into a dead State later.
class LentContext {
 public:
  // Leaves the state object on the stack, to keep it alive.
  LentContext(lua_State* L, MixerContext& context);
  ~LentContext();
  LentContext(const LentContext&) = delete;
  LentContext& operator=(const LentContext&) = delete;
  // With a memory, as context.memory and context.memory_lengths.
  void push(const EncoderMemory* memory = nullptr) const;

 private:
  lua_State* L_;
  const MixerContext& context_;
  StateObject* lent_ = nullptr;
  int state_index_ = 0;
};

// The tensor on top of the stack; `what` names the function that returned it.
const at::Tensor& returned_tensor(lua_State* L, const char* what);

}  // namespace gamut::script
