// Ctrl-C and SIGTERM: noted by a handler, acted upon at a safe point.
#pragma once

#include <sys/types.h>

#include <atomic>

#include "script/lua.h"

namespace gamut::script {

enum class OnSignal {
  raise,  // the running script gets a Lua error: exec, repl
  note,   // the script asks gamut.interrupted() and ends in its own time: run
};

// Handles SIGINT, SIGTERM and, as a SIGTERM, the SIGHUP of a terminal that was closed. A second one
// ends the process at once; one that follows within half a second is the same wish, told by the
// terminal and by a parent or a scheduler, too.
void handle_signals(lua_State* L, OnSignal mode);

// Sends on what arrives to that child, which answers it; 0: to none.
void forward_signals(pid_t child);

// "SIGINT", "SIGTERM" or null.
const char* interrupted();

// Forgets a signal that was dealt with, as the REPL does at its prompt.
void clear_interrupt();

// The exit status of a process that ended because of the noted signal: 130, 143, or 0.
int interrupt_exit_code();

namespace detail {
extern std::atomic<bool> raise_pending;
[[noreturn]] void raise_interrupt(lua_State* L);
}  // namespace detail

// Called after every operator: the hook that the handler sets is per coroutine, this is not.
inline void raise_if_interrupted(lua_State* L) {
  if (detail::raise_pending.load(std::memory_order_relaxed)) detail::raise_interrupt(L);
}

}  // namespace gamut::script
