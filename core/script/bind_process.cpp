// gamut.native.process: this program once more as a child that is waited for, and claims on what
// only one process may work at.
//
//   process.run_self(words, {log = path, claim = claim}) -> {exit_code =, signal =, seconds =}
//       words: what the program is called, then its arguments
//   process.claim(path, {wait = false}) -> a claim, or nil and who holds it; a signal ends the wait
//   process.holder(path) -> who holds a claim on that path, or nil
#include <gamut/error.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "files/lock.h"
#include "script/child_process.h"
#include "script/interpreter.h"
#include "script/table_fields.h"
#include "script/userdata.h"

namespace gamut::script {
namespace {

// A lock on a file in which its holder wrote who it is.
struct Claim {
  static constexpr const char* kName = "gamut.Claim";
  std::unique_ptr<files::FileLock> lock;
};

std::string this_process() {
  std::array<char, 256> host = {};
  gethostname(host.data(), host.size() - 1);
  return c10::str("process ", getpid(), " on ", host.data());
}

std::string holder_in(const files::FileLock& lock) {
  std::string text(300, '\0');
  const ssize_t got = pread(lock.descriptor(), text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text.empty() ? "another process" : text;
}

// For others to read; a claim stands without it, too.
void sign(const files::FileLock& lock) {
  const std::string text = this_process();
  if (ftruncate(lock.descriptor(), 0) != 0) return;
  const ssize_t written = pwrite(lock.descriptor(), text.data(), text.size(), 0);
  static_cast<void>(written);
}

int claim(lua_State* L) {
  const char* path = luaL_checkstring(L, 1);
  check_fields(L, 2, "process.claim", {"wait"});
  using Busy = files::FileLock::Busy;
  const Busy busy = boolean_field(L, 2, "wait", false) ? Busy::wait : Busy::give_up;
  Claim made{std::make_unique<files::FileLock>(path, busy)};
  if (!made.lock->held()) {
    lua_pushnil(L);
    lua_pushstring(L, holder_in(*made.lock).c_str());
    return 2;
  }
  sign(*made.lock);
  push_object(L, std::move(made));
  return 1;
}

// claim:release(), or the end of a `local claim <close>`.
int release(lua_State* L) {
  check_object<Claim>(L, 1).lock.reset();
  return 0;
}

// Looks by claiming for a moment, so only where there is a file.
int holder(lua_State* L) {
  const std::filesystem::path path = luaL_checkstring(L, 1);
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return 0;
  const files::FileLock lock(path);
  if (lock.held()) return 0;
  lua_pushstring(L, holder_in(lock).c_str());
  return 1;
}

std::vector<std::string> check_words(lua_State* L, int index) {
  luaL_checktype(L, index, LUA_TTABLE);
  std::vector<std::string> words;
  for (lua_Integer i = 1; lua_rawgeti(L, index, i) != LUA_TNIL; ++i, lua_pop(L, 1)) {
    GAMUT_CHECK(lua_type(L, -1) == LUA_TSTRING, "a command is a list of strings");
    words.emplace_back(lua_tostring(L, -1));
  }
  lua_pop(L, 1);
  return words;
}

// The file of this program; where a new build took its place since, the one that is running.
std::filesystem::path own_file() {
  std::error_code ignored;
  const std::filesystem::path path = program_path();
  return std::filesystem::exists(path, ignored) ? path : "/proc/self/exe";
}

int run_self(lua_State* L) {
  ChildRequest request;
  request.program = own_file();
  request.words = check_words(L, 1);
  check_fields(L, 2, "process.run_self", {"log", "claim"});
  request.log = string_field(L, 2, "log", "");
  if (push_field(L, 2, "claim")) request.keep_open = check_object<Claim>(L, -1).lock->descriptor();
  lua_pop(L, 1);
  const ChildEnd end = run_child(request);
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, end.exit_code);
  lua_setfield(L, -2, "exit_code");
  if (end.signal) {
    lua_pushinteger(L, end.signal);
    lua_setfield(L, -2, "signal");
  }
  lua_pushnumber(L, end.seconds);
  lua_setfield(L, -2, "seconds");
  return 1;
}

}  // namespace

int open_process(lua_State* L) {
  const luaL_Reg metamethods[] = {{"__close", guard<release>}, {nullptr, nullptr}};
  const luaL_Reg methods[] = {{"release", guard<release>}, {nullptr, nullptr}};
  new_class<Claim>(L, metamethods, methods);
  const luaL_Reg functions[] = {{"run_self", guard<run_self>},
                                {"claim", guard<claim>},
                                {"holder", guard<holder>},
                                {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
