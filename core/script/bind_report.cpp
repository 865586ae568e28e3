// gamut.native.report: what writing a report needs beside Lua's own library.
//
//   report.list_directory(path) -> sorted names of its plain files; {} if there is no such folder
//   report.base64(bytes) -> text
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "gamut/error.h"
#include "script/lua.h"

namespace gamut::script {
namespace {

namespace fs = std::filesystem;

int list_directory(lua_State* L) {
  const fs::path folder = luaL_checkstring(L, 1);
  std::vector<std::string> names;
  std::error_code error;
  if (fs::exists(folder, error)) {
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      std::error_code ignored;
      if (entry.is_regular_file(ignored)) names.push_back(entry.path().filename().string());
    }
  }
  GAMUT_CHECK(!error, "cannot list the folder ", folder.string(), ": ", error.message());
  std::sort(names.begin(), names.end());
  lua_createtable(L, static_cast<int>(names.size()), 0);
  for (size_t i = 0; i < names.size(); ++i) {
    lua_pushlstring(L, names[i].data(), names[i].size());
    lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
  }
  return 1;
}

int base64(lua_State* L) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t size = 0;
  const auto* bytes = reinterpret_cast<const uint8_t*>(luaL_checklstring(L, 1, &size));
  std::string text;
  text.reserve((size + 2) / 3 * 4);
  for (size_t i = 0; i < size; i += 3) {
    const size_t count = std::min<size_t>(3, size - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (k < count ? bytes[i + k] : 0);
    for (size_t k = 0; k < 4; ++k) {
      text += k <= count ? digits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  lua_pushlstring(L, text.data(), text.size());
  return 1;
}

}  // namespace

int open_report(lua_State* L) {
  const luaL_Reg functions[] = {
      {"list_directory", guard<list_directory>}, {"base64", guard<base64>}, {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
