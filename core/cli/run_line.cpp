// One line of Lua as the whole work of a verb.
#include <cstring>

#include "cli/cli.h"

namespace gamut::cli {

int run_line(const Context& context, const char* line, const std::vector<std::string>& arguments,
             script::OnSignal on_signal) {
  script::Interpreter::Options options;
  options.full_traceback = context.full_traceback;
  script::Interpreter interpreter(options);
  lua_State* L = interpreter.state();
  script::handle_signals(L, on_signal);
  luaL_loadbuffer(L, line, std::strlen(line), "=gamut");
  luaL_checkstack(L, static_cast<int>(arguments.size()), "too many arguments");
  for (const std::string& argument : arguments) {
    lua_pushlstring(L, argument.data(), argument.size());
  }
  script::ScriptError error;
  const bool done = interpreter.call(static_cast<int>(arguments.size()), 0, error);
  // The chain of calls would be the library's own; the user has no script here.
  if (!context.full_traceback) error.traceback.clear();
  return done ? kSuccess : report(error);
}

}  // namespace gamut::cli
