// Runs Lua in a fresh interpreter with the library of the source tree.
#pragma once

#include <gtest/gtest.h>

#include <fstream>

#include "script/interpreter.h"
#include "script/tensor.h"

namespace gamut::script {

class ScriptTest : public ::testing::Test {
 protected:
  static Interpreter::Options options() {
    Interpreter::Options options;
    options.scripts = GAMUT_SOURCE_DIR "/scripts";
    return options;
  }

  lua_State* L() { return interpreter_.state(); }

  // Loads `source` under the name "test.lua" with `gamut` in scope and calls it with the tensors;
  // false when it fails, see error_.
  bool try_run(const std::string& source, const std::vector<at::Tensor>& tensors = {},
               int results = 0) {
    const std::string chunk = "local gamut = require 'gamut'; " + source;
    error_ = ScriptError();
    EXPECT_EQ(luaL_loadbufferx(L(), chunk.data(), chunk.size(), "@test.lua", "t"), LUA_OK)
        << lua_tostring(L(), -1);
    for (const auto& tensor : tensors) push_tensor(L(), tensor);
    return interpreter_.call(static_cast<int>(tensors.size()), results, error_);
  }

  // The tensor that an expression over `a`, `b`, `c` gives.
  at::Tensor tensor(const std::string& expression, const std::vector<at::Tensor>& tensors = {}) {
    if (!try_run("local a, b, c = ...; return " + expression, tensors, 1)) {
      ADD_FAILURE() << error_.message;
      return at::Tensor();
    }
    at::Tensor result = is_tensor(L(), -1) ? check_tensor(L(), -1) : at::Tensor();
    EXPECT_TRUE(result.defined()) << expression << " gave " << luaL_typename(L(), -1);
    lua_settop(L(), 0);
    return result;
  }

  Interpreter interpreter_{options()};
  ScriptError error_;
};

}  // namespace gamut::script
