// gamut.native.fetch: files of data sets from the network. scripts/gamut/data/fetch.lua wraps it.
#include "data/fetch/fetch.h"

#include <unistd.h>

#include "script/json.h"
#include "script/signals.h"
#include "script/table_fields.h"

namespace gamut::script {
namespace {

data::RemoteFile remote_file(lua_State* L, int table) {
  check_fields(L, table, "fetch.files",
               {"url", "name", "bytes", "about", "digest", "unpack", "unpacked_bytes"});
  data::RemoteFile file;
  file.url = string_field(L, table, "url", "");
  file.name = string_field(L, table, "name", "");
  file.bytes = integer_field(L, table, "bytes", -1);
  file.about = integer_field(L, table, "about", -1);
  file.digest = string_field(L, table, "digest", "");
  file.unpacked_bytes = integer_field(L, table, "unpacked_bytes", 0);
  file.unpack = boolean_field(L, table, "unpack", false);
  return file;
}

std::vector<data::RemoteFile> remote_files(lua_State* L, int table) {
  std::vector<data::RemoteFile> files;
  GAMUT_CHECK(push_field(L, table, "files") && lua_istable(L, -1),
              "fetch takes `files`, a list of tables");
  const int list = lua_gettop(L);
  for (size_t i = 1; i <= lua_rawlen(L, list); ++i, lua_pop(L, 1)) {
    lua_rawgeti(L, list, static_cast<lua_Integer>(i));
    files.push_back(remote_file(L, lua_gettop(L)));
  }
  lua_pop(L, 1);
  return files;
}

void push_progress(lua_State* L, const data::FetchProgress& state) {
  lua_createtable(L, 0, 7);
  const std::pair<const char*, int64_t> numbers[] = {{"files", state.files},
                                                     {"files_done", state.files_done},
                                                     {"bytes", state.bytes},
                                                     {"bytes_done", state.bytes_done},
                                                     {"bytes_fetched", state.bytes_fetched}};
  for (const auto& [name, value] : numbers) {
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
  }
  lua_pushstring(L, state.name.c_str());
  lua_setfield(L, -2, "name");
  lua_pushstring(L, state.what.c_str());
  lua_setfield(L, -2, "what");
}

// fetch.files{folder=, files=, retries=, wait=, stall=, keep_archives=, progress=, note=} ->
// records by name. Ends early when the process was told to (SIGINT, SIGTERM).
int fetch_files(lua_State* L) {
  check_fields(
      L, 1, "fetch.files",
      {"folder", "files", "retries", "wait", "stall", "keep_archives", "progress", "note"});
  lua_settop(L, 1);
  data::FetchOptions options;
  options.folder = string_field(L, 1, "folder", "");
  GAMUT_CHECK(!options.folder.empty(), "fetch needs `folder`");
  options.retries = static_cast<int>(integer_field(L, 1, "retries", options.retries));
  options.wait = number_field(L, 1, "wait", options.wait);
  options.stall = number_field(L, 1, "stall", options.stall);
  options.keep_archives = boolean_field(L, 1, "keep_archives", true);
  options.stop = [] { return interrupted() != nullptr; };
  if (push_field(L, 1, "progress")) {
    options.progress = [L, function = lua_gettop(L)](const data::FetchProgress& state) {
      lua_pushvalue(L, function);
      push_progress(L, state);
      lua_call(L, 1, 0);
    };
  }
  if (push_field(L, 1, "note")) {
    options.note = [L, function = lua_gettop(L)](const std::string& text) {
      lua_pushvalue(L, function);
      lua_pushlstring(L, text.data(), text.size());
      lua_call(L, 1, 0);
    };
  }
  push_json(L, data::fetch(remote_files(L, 1), options), NonFinite::refuse);
  return 1;
}

// fetch.is_terminal() -> whether stderr is one, for lines that move.
int is_terminal(lua_State* L) {
  lua_pushboolean(L, isatty(STDERR_FILENO));
  return 1;
}

}  // namespace

int open_fetch(lua_State* L) {
  const luaL_Reg functions[] = {
      {"files", guard<fetch_files>}, {"is_terminal", guard<is_terminal>}, {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
