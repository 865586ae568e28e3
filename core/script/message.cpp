// Turns C++ exceptions into the sentence that a user reads.
#include <ATen/Context.h>
#include <c10/util/Exception.h>

#include <atomic>
#include <cstring>

#include "script/interpreter.h"
#include "script/lua.h"
#include "script/state.h"

namespace gamut::script {
namespace {

std::atomic<bool> full_messages{false};

// LibTorch's messages start with the sentence that matters. What follows may be lists of dispatch
// keys and registrations, and advice for people who build LibTorch.
std::string first_paragraph(std::string message) {
  const auto cut = [&](const char* mark) {
    const auto at = message.find(mark);
    if (at != std::string::npos && at > 0) message.resize(at);
  };
  cut("\nException raised from");
  cut("\nCUDA kernel errors might be asynchronously reported");
  cut(" This could be because the operator doesn't exist for this backend");
  cut("\n\n");
  while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.pop_back();
  return message;
}

// Whether a chunk belongs to the Lua library that comes with the program, or to the program itself.
bool is_library(lua_State* L, const char* source) {
  if (std::strcmp(source, "=gamut") == 0) return true;
  const std::string& folder = bridge(L).library_folder;
  return source[0] == '@' && !folder.empty() &&
         std::strncmp(source + 1, folder.c_str(), folder.size()) == 0;
}

}  // namespace

void set_full_messages(bool full) {
  full_messages = full;
}

std::string message_of(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  if (!torch_error) return error.what();
  if (full_messages) return torch_error->what();
  std::string message = first_paragraph(torch_error->what_without_backtrace());
  if (message.find("from the 'CUDA' backend") != std::string::npos && !at::hasCUDA()) {
    message += " There is no CUDA device here, or LibTorch is without its CUDA half.";
  }
  return message;
}

int raise_for_user(lua_State* L, const std::string& message) {
  lua_Debug info;
  for (int level = 1; lua_getstack(L, level, &info); ++level) {
    lua_getinfo(L, "Sl", &info);
    if (info.currentline <= 0 || is_library(L, info.source)) continue;
    lua_pushfstring(L, "%s:%d: %s", info.short_src, info.currentline, message.c_str());
    return lua_error(L);
  }
  return luaL_error(L, "%s", message.c_str());
}

}  // namespace gamut::script
