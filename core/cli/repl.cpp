// gamut repl: Lua, line by line, with editing, history and completion by libedit. What a line does
// is scripts/gamut/repl.lua; from a pipe it reads without prompts.
#include <editline/readline.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <optional>

#include "cli/cli.h"
#include "script/signals.h"

namespace gamut::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kHistoryLines = 2000;

// libedit's callbacks take no data.
lua_State* completing = nullptr;
std::vector<std::string> candidates;

// Pushes a function of the module gamut.repl.
void push_repl_function(lua_State* L, const char* name) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "gamut.repl");
  lua_getfield(L, -1, name);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

char* next_candidate(const char*, int state) {
  static size_t next = 0;
  if (state == 0) next = 0;
  return next < candidates.size() ? strdup(candidates[next++].c_str()) : nullptr;
}

char** complete(const char* text, int, int) {
  lua_State* L = completing;
  rl_attempted_completion_over = 1;  // never file names
  candidates.clear();
  push_repl_function(L, "complete");
  lua_pushstring(L, text);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_istable(L, -1)) {
    for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TSTRING; ++i) {
      candidates.emplace_back(lua_tostring(L, -1));
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return rl_completion_matches(text, next_candidate);
}

// GAMUT_HISTORY, or gamut/history in the user's state folder.
fs::path history_file() {
  if (const char* given = std::getenv("GAMUT_HISTORY")) return given;
  if (const char* state = std::getenv("XDG_STATE_HOME")) return fs::path(state) / "gamut/history";
  if (const char* home = std::getenv("HOME")) return fs::path(home) / ".local/state/gamut/history";
  return {};
}

// Lines from a person, or from a pipe.
class Lines {
 public:
  explicit Lines(lua_State* L) : interactive_(isatty(STDIN_FILENO)) {
    if (!interactive_) return;
    completing = L;
    rl_readline_name = const_cast<char*>("gamut");
    rl_attempted_completion_function = complete;
    rl_completion_append_character = '\0';
    // Words hold dots and colons: paths through tables are completed as one.
    rl_completer_word_break_characters = const_cast<char*>(" \t\n\"'`<>=;|&{}()[]+-*/^%#~,?");
    using_history();
    stifle_history(kHistoryLines);
    file_ = history_file();
    if (!file_.empty()) read_history(file_.c_str());
  }
  ~Lines() {
    if (!interactive_ || file_.empty()) return;
    std::error_code ignored;
    fs::create_directories(file_.parent_path(), ignored);
    write_history(file_.c_str());  // without a place for it, a session is just not remembered
  }

  bool interactive() const { return interactive_; }

  std::optional<std::string> next(const char* prompt) {
    std::string line;
    if (!interactive_) {
      if (!std::getline(std::cin, line)) return std::nullopt;
      return line;
    }
    char* typed = readline(prompt);
    if (!typed && script::interrupted()) {  // Ctrl-C drops the line, not the session
      script::clear_interrupt();
      std::printf("\n");
      return "";
    }
    if (!typed) return std::nullopt;
    line = typed;
    std::free(typed);
    if (!line.empty()) add_history(line.c_str());
    return line;
  }

 private:
  bool interactive_;
  fs::path file_;
};

enum class Loaded { ready, incomplete, failed };

// Leaves the function for `source` on the stack when it is ready.
Loaded load(lua_State* L, const std::string& source) {
  push_repl_function(L, "load");
  lua_pushlstring(L, source.data(), source.size());
  lua_call(L, 1, 3);
  if (lua_isfunction(L, -3)) {
    lua_pop(L, 2);
    return Loaded::ready;
  }
  const bool incomplete = lua_toboolean(L, -1);
  if (!incomplete) std::fprintf(stderr, "%s\n", lua_tostring(L, -2));
  lua_pop(L, 3);
  return incomplete ? Loaded::incomplete : Loaded::failed;
}

// Reads on until the source is complete, and runs it. False when it failed.
bool evaluate(script::Interpreter& interpreter, Lines& lines, std::string source) {
  lua_State* L = interpreter.state();
  Loaded loaded = load(L, source);
  while (loaded == Loaded::incomplete) {
    const auto more = lines.next("... ");
    if (!more) {
      std::fprintf(stderr, "the input ended inside a statement\n");
      return false;
    }
    source += "\n" + *more;
    loaded = load(L, source);
  }
  if (loaded == Loaded::failed) return false;
  script::ScriptError error;
  const bool ok = interpreter.call(0, 0, error);
  if (!ok) report(error);
  script::clear_interrupt();
  std::fflush(stdout);
  return ok;
}

int repl(const Context& context) {
  script::Interpreter::Options options;
  options.full_traceback = context.full_traceback;
  script::Interpreter interpreter(options);
  lua_State* L = interpreter.state();
  script::ScriptError error;
  lua_getglobal(L, "require");
  lua_pushliteral(L, "gamut.repl");
  if (!interpreter.call(1, 0, error)) return report(error);
  script::handle_signals(L, script::OnSignal::raise);

  Lines lines(L);
  if (lines.interactive()) {
    std::printf("gamut " GAMUT_VERSION ". help() helps, Tab completes, Ctrl-D leaves.\n");
  }
  bool all_ok = true;
  while (auto line = lines.next("> ")) {
    if (line->find_first_not_of(" \t") == std::string::npos) continue;
    all_ok = evaluate(interpreter, lines, *line) && all_ok;
  }
  if (lines.interactive()) std::printf("\n");
  // A person has seen the errors; a pipe's reader learns of them by the exit code.
  return lines.interactive() || all_ok ? kSuccess : kScriptFailed;
}

}  // namespace

void add_repl(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("repl", "Try things out, line by line");
  verb->callback([&context] { context.verb = [&context] { return repl(context); }; });
}

}  // namespace gamut::cli
