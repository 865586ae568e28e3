// Errors: what call() reports, with which call chain.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "script/lua.h"
#include "script_fixture.h"

namespace gamut::script {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class ErrorTest : public ScriptTest {};

TEST_F(ErrorTest, OperatorErrorHasPlaceSentenceAndChain) {
  ASSERT_FALSE(try_run(
      "\nlocal function inner(x)\n  local y = x:matmul(x)\n  return y\nend\n"
      "local function outer(x)\n  local y = inner(x)\n  return y\nend\nouter(gamut.ones{2, 3})\n"));
  EXPECT_THAT(error_.message, StartsWith("test.lua:3: matmul: mat1 and mat2 shapes cannot be"));
  EXPECT_THAT(error_.message, HasSubstr("called as matmul(float32[2, 3] tensor"));
  EXPECT_THAT(error_.message, Not(HasSubstr("Exception raised from")));
  EXPECT_THAT(error_.traceback, HasSubstr("test.lua:3: in upvalue `inner`"));
  EXPECT_THAT(error_.traceback, HasSubstr("test.lua:7: in local `outer`"));
  EXPECT_THAT(error_.traceback, HasSubstr("test.lua:10: in main chunk"));
  EXPECT_THAT(error_.traceback, Not(HasSubstr("[C]")));
  EXPECT_EQ(lua_gettop(L()), 0);
}

TEST_F(ErrorTest, ChainRunsThroughScopesAndCallbacks) {
  ASSERT_FALSE(
      try_run("\ngamut.scope(function()\n  gamut.no_grad(function()\n    error('deep')\n"
              "  end)\nend)"));
  EXPECT_EQ(error_.message, "test.lua:4: deep");
  EXPECT_THAT(error_.traceback, HasSubstr("test.lua:4: "));
  EXPECT_THAT(error_.traceback, HasSubstr("test.lua:2: in main chunk"));
}

TEST_F(ErrorTest, LibraryFramesAreFolded) {
  ASSERT_FALSE(try_run("\nrequire('gamut.testing').equal(1, 2)"));
  EXPECT_THAT(error_.message, HasSubstr("expected 2, got 1"));
  EXPECT_THAT(error_.traceback, HasSubstr("1 frame of the gamut library"));
}

TEST_F(ErrorTest, FullTracebackHasEverything) {
  auto chosen = options();
  chosen.full_traceback = true;
  Interpreter full(chosen);
  ScriptError error;
  luaL_loadstring(full.state(), "local g = require 'gamut'; g.ones{2}:matmul(g.ones{3})");
  ASSERT_FALSE(full.call(0, 0, error));
  EXPECT_THAT(error.message, HasSubstr("Exception raised from"));
  EXPECT_THAT(error.traceback, HasSubstr("[C]"));
  set_full_messages(false);
}

TEST_F(ErrorTest, ErrorsThatAreNotMessages) {
  ASSERT_FALSE(try_run("error({})"));
  EXPECT_EQ(error_.message, "(the error is a table, not a message)");
  ASSERT_FALSE(try_run("error(setmetatable({}, {__tostring = function() return 'mine' end}))"));
  EXPECT_EQ(error_.message, "mine");
  ASSERT_FALSE(try_run("error()"));
  EXPECT_THAT(error_.message, HasSubstr("nil"));
}

TEST_F(ErrorTest, FilesThatAreMissingOrMalformed) {
  ScriptError error;
  EXPECT_FALSE(interpreter_.run_file("/nowhere/x.lua", {}, error));
  EXPECT_EQ(error.message, "there is no script /nowhere/x.lua");
  const auto file = std::filesystem::temp_directory_path() / "gamut_malformed.lua";
  std::ofstream(file) << "local x = \nlocal y";
  EXPECT_FALSE(interpreter_.run_file(file, {}, error));
  EXPECT_THAT(error.message, HasSubstr("gamut_malformed.lua:2: unexpected symbol near 'local'"));
  std::ofstream(file, std::ios::binary) << "\x1bLua";
  EXPECT_FALSE(interpreter_.run_file(file, {}, error));
  EXPECT_THAT(error.message, HasSubstr("binary"));
  std::filesystem::remove(file);
}

TEST_F(ErrorTest, ArgumentsReachTheScript) {
  const auto file = std::filesystem::temp_directory_path() / "gamut_arguments.lua";
  std::ofstream(file) << "assert(select('#', ...) == 2 and arg[1] == 'a' and arg[2] == '--b')";
  ScriptError error;
  EXPECT_TRUE(interpreter_.run_file(file, {"a", "--b"}, error)) << error.message;
  std::filesystem::remove(file);
}

int throws(lua_State*) {
  throw std::runtime_error("from C++");
}

TEST_F(ErrorTest, ExceptionsBecomeLuaErrors) {
  lua_pushcfunction(L(), guard<throws>);
  lua_setglobal(L(), "throws");
  ASSERT_FALSE(try_run("\nthrows()"));
  EXPECT_EQ(error_.message, "test.lua:2: from C++");
  ASSERT_TRUE(
      try_run("local ok, m = pcall(throws); assert(not ok and m == 'test.lua:1: from C++', m)"))
      << error_.message;
}

struct CountsDown {
  int& count;
  ~CountsDown() { --count; }
};
int alive = 0;
int fails_in_lua(lua_State* L) {
  ++alive;
  CountsDown object{alive};
  return luaL_error(L, "no");
}

TEST_F(ErrorTest, LuaErrorsRunDestructors) {
  lua_pushcfunction(L(), guard<fails_in_lua>);
  lua_setglobal(L(), "fails");
  ASSERT_TRUE(try_run("assert(not pcall(fails))")) << error_.message;
  EXPECT_EQ(alive, 0);
}

TEST_F(ErrorTest, NoLuaFromTheMachine) {
  ASSERT_FALSE(try_run("require 'socket'"));
  EXPECT_THAT(error_.message, Not(HasSubstr("/usr/")));
}

}  // namespace
}  // namespace gamut::script
