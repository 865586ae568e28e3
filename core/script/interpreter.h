// A Lua state with the gamut library, and the one way in which C++ calls into it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "script/allocator.h"
#include "script/lua.h"
#include "script/state.h"

namespace gamut::script {

// A script that failed: what a user should read.
struct ScriptError {
  std::string message;    // with file and line
  std::string traceback;  // call chain, lines indented; may be empty
};

class Interpreter {
 public:
  struct Options {
    std::filesystem::path scripts;  // the folder that holds gamut/init.lua; empty: find_scripts()
    bool full_traceback = false;    // every Lua frame, and the C++ stack of LibTorch's errors
  };

  Interpreter() : Interpreter(Options()) {}
  explicit Interpreter(const Options& options);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  lua_State* state() const { return state_; }
  const std::filesystem::path& scripts() const { return scripts_; }

  // Loads the file and leaves its function on the stack; modules beside the file can be required
  // from then on, and `arg` is set. False, with `error` filled, when it is missing or malformed.
  bool load_file(const std::filesystem::path& file, const std::vector<std::string>& arguments,
                 ScriptError& error);

  // Calls the function below `arguments` values on the stack. On success its results are there;
  // otherwise nothing is, and `error` is filled. Every call into Lua goes through here.
  bool call(int arguments, int results, ScriptError& error);

  // load_file and call, with the arguments as `...` too.
  bool run_file(const std::filesystem::path& file, const std::vector<std::string>& arguments,
                ScriptError& error);

 private:
  void set_search_path();

  LuaAllocator allocator_;  // outlives the state
  lua_State* state_ = nullptr;
  BridgeState bridge_;
  std::filesystem::path scripts_;
  bool full_traceback_ = false;
};

// The folder of the Lua library: GAMUT_SCRIPTS, or share/gamut/scripts of the installation, or
// scripts/ of the source tree that the program was built in. Throws gamut::Error when there is
// none.
std::filesystem::path find_scripts();

// The file of the running program.
std::filesystem::path program_path();

// Whether message_of gives LibTorch's C++ stack as well.
void set_full_messages(bool full);

}  // namespace gamut::script
