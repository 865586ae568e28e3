#include "script/interpreter.h"

#include <gamut/error.h>

#include <cstdlib>

#include "script/native.h"
#include "script/place.h"
#include "script/tensor.h"
#include "script/traceback.h"

namespace gamut::script {

namespace fs = std::filesystem;

namespace {

// What the message handler of a protected call needs and where it puts what it found.
struct Handling {
  ScriptError* error;
  std::string library_folder;
  bool full;
};

std::string text_of(lua_State* L, int index) {
  if (lua_type(L, index) == LUA_TSTRING) return lua_tostring(L, index);
  if (luaL_getmetafield(L, index, "__tostring") == LUA_TNIL) {
    return c10::str("(the error is a ", luaL_typename(L, index), ", not a message)");
  }
  lua_pop(L, 1);
  std::string text = luaL_tolstring(L, index, nullptr);
  lua_pop(L, 1);
  return text;
}

// Runs where the error was raised, with the stack still there.
int handle_error(lua_State* L) {
  const auto& handling = *static_cast<Handling*>(lua_touserdata(L, lua_upvalueindex(1)));
  auto& error = *handling.error;
  error.message = text_of(L, 1);
  const auto& origin = bridge(L).origin;
  const bool raised_again =
      !origin.message.empty() && error.message.find(origin.message) != std::string::npos;
  error.traceback =
      raised_again ? origin.traceback : lua_traceback(L, 1, handling.library_folder, handling.full);
  if (handling.full || lua_type(L, 1) != LUA_TSTRING) return 1;
  const std::string place =
      raised_again ? origin.place : author_place(L, 1, handling.library_folder);
  error.message = placed(error.message, place, handling.library_folder);
  return 1;
}

// As the user would write it: relative where the file is below the current folder.
std::string shown_path(const fs::path& file) {
  std::error_code ignored;
  const auto relative = fs::proximate(file, ignored).string();
  return ignored || relative.empty() || relative.compare(0, 2, "..") == 0 ? file.string()
                                                                          : relative;
}

void add_to_path(lua_State* L, const fs::path& folder) {
  const std::string at = folder.string();
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "path");
  const std::string old = lua_tostring(L, -1);
  const std::string added = at + "/?.lua;" + at + "/?/init.lua";
  lua_pushstring(L, (old.empty() ? added : old + ";" + added).c_str());
  lua_setfield(L, -3, "path");
  lua_pop(L, 2);
}

}  // namespace

Interpreter::Interpreter(const Options& options)
    : scripts_(options.scripts.empty() ? find_scripts() : options.scripts),
      full_traceback_(options.full_traceback) {
  set_full_messages(full_traceback_);
  state_ = lua_newstate(LuaAllocator::allocate, &allocator_);
  GAMUT_CHECK(state_, "there is no memory for a Lua state");
  bridge_slot(state_) = &bridge_;
  bridge_.library_folder = scripts_.string();
  bridge_.full_traceback = full_traceback_;
  luaL_openlibs(state_);
  lua_gc(state_, LUA_GCGEN, 0, 0);
  open_tensors(state_);
  register_native_modules(state_);
  set_search_path();
}

Interpreter::~Interpreter() {
  if (state_) lua_close(state_);
}

// Only the library's scripts and, later, those beside the user's script: what a machine happens to
// have installed for Lua must not change a study.
void Interpreter::set_search_path() {
  lua_getglobal(state_, "package");
  lua_pushliteral(state_, "");
  lua_setfield(state_, -2, "path");
  lua_pushliteral(state_, "");
  lua_setfield(state_, -2, "cpath");
  lua_pop(state_, 1);
  add_to_path(state_, scripts_);
}

bool Interpreter::load_file(const fs::path& file, const std::vector<std::string>& arguments,
                            ScriptError& error) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) {
    error.message = c10::str("there is no script ", file.string());
    return false;
  }
  const std::string shown = shown_path(file);
  lua_createtable(state_, static_cast<int>(arguments.size()), 1);
  lua_pushstring(state_, shown.c_str());
  lua_rawseti(state_, -2, 0);
  for (size_t i = 0; i < arguments.size(); ++i) {
    lua_pushstring(state_, arguments[i].c_str());
    lua_rawseti(state_, -2, static_cast<lua_Integer>(i) + 1);
  }
  lua_setglobal(state_, "arg");
  add_to_path(state_, fs::absolute(file).parent_path());
  // Text only: compiled Lua can break the interpreter.
  if (luaL_loadfilex(state_, shown.c_str(), "t") != LUA_OK) {
    error.message = lua_tostring(state_, -1);
    lua_pop(state_, 1);
    return false;
  }
  return true;
}

bool Interpreter::call(int arguments, int results, ScriptError& error) {
  Handling handling{&error, scripts_.string(), full_traceback_};
  const int function = lua_gettop(state_) - arguments;
  lua_pushlightuserdata(state_, &handling);
  lua_pushcclosure(state_, handle_error, 1);
  lua_insert(state_, function);
  const int status = lua_pcall(state_, arguments, results, function);
  lua_remove(state_, function);
  if (status == LUA_OK) return true;
  // Out of memory, or an error inside the handler: the handler has not run.
  if (error.message.empty()) error.message = text_of(state_, -1);
  lua_settop(state_, function - 1);
  return false;
}

bool Interpreter::run_file(const fs::path& file, const std::vector<std::string>& arguments,
                           ScriptError& error) {
  if (!load_file(file, arguments, error)) return false;
  luaL_checkstack(state_, static_cast<int>(arguments.size()) + 4, "too many arguments");
  for (const auto& argument : arguments) lua_pushstring(state_, argument.c_str());
  return call(static_cast<int>(arguments.size()), 0, error);
}

fs::path program_path() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/exe", ignored);
}

fs::path find_scripts() {
  const auto holds_library = [](const fs::path& folder) {
    std::error_code ignored;
    return fs::exists(folder / "gamut" / "init.lua", ignored);
  };
  if (const char* given = std::getenv("GAMUT_SCRIPTS")) {
    GAMUT_CHECK(holds_library(given), "GAMUT_SCRIPTS is ", given,
                ", but there is no gamut/init.lua in it");
    return fs::absolute(given).lexically_normal();
  }
  const fs::path bin = program_path().parent_path();
  const fs::path installed = bin.parent_path() / "share" / "gamut" / "scripts";
  if (holds_library(installed)) return installed;
  for (fs::path up = bin; up.has_relative_path(); up = up.parent_path()) {
    if (holds_library(up / "scripts")) return up / "scripts";
  }
  throw Error(c10::str("the Lua library was not found: looked for gamut/init.lua in ",
                       installed.string(), " and in scripts/ of the folders above ", bin.string(),
                       "; GAMUT_SCRIPTS can name its folder"));
}

}  // namespace gamut::script
