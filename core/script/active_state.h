// Which Lua thread is running, for C++ that has to call back into Lua: a mixer written in Lua that
// a C++ plugin wraps is called from inside a C++ call that some coroutine made.
#pragma once

#include <memory>

#include "script/lua.h"

namespace gamut::script {

// Made by each bound function that runs a plugin, for as long as it runs.
class ActiveState {
 public:
  explicit ActiveState(lua_State* L) : before_(current()) { current() = L; }
  ~ActiveState() { current() = before_; }
  ActiveState(const ActiveState&) = delete;
  ActiveState& operator=(const ActiveState&) = delete;

  static lua_State*& current() {
    static thread_local lua_State* state = nullptr;
    return state;
  }

 private:
  lua_State* before_;
};

// A Lua state that may have been closed by the time it is needed.
struct StateHandle {
  static constexpr const char* kName = "gamut.StateHandle";
  struct Cell {
    lua_State* main = nullptr;  // null once the state is closed
  };
  std::shared_ptr<Cell> cell;

  StateHandle() = default;
  StateHandle(StateHandle&&) = default;
  ~StateHandle() {
    if (cell) cell->main = nullptr;
  }
};

// The handle's cell of the state that L belongs to.
std::shared_ptr<StateHandle::Cell> state_cell(lua_State* L);

}  // namespace gamut::script
