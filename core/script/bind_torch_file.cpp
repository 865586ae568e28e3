// gamut.native.torch_file and gamut.native.zlib. What becomes what: torch_value.h.
#include <gamut/error.h>

#include <memory>

#include "checkpoint/torch_file/save.h"
#include "checkpoint/torch_file/torch_file.h"
#include "checkpoint/zlib_bytes.h"
#include "script/table_fields.h"
#include "script/torch_value.h"

namespace gamut::script {
namespace {

using checkpoint::torch_file::SaveOptions;
using checkpoint::torch_file::TorchFile;

std::string_view bytes_at(lua_State* L, int index) {
  size_t size = 0;
  const char* bytes = luaL_checklstring(L, index, &size);
  return {bytes, size};
}

SaveOptions save_options(lua_State* L, int index, const char* function) {
  check_fields(L, index, function, {"location"});
  return {string_field(L, index, "location", "")};
}

// torch_file.save(path, value, {location = "cpu"}) -> bytes written
int save(lua_State* L) {
  const std::string path = luaL_checkstring(L, 1);
  luaL_checkany(L, 2);
  const SaveOptions options = save_options(L, 3, "torch_file.save");
  const uint64_t bytes =
      checkpoint::torch_file::save(*torch_value_from_lua(L, 2, "value"), path, options);
  lua_pushinteger(L, static_cast<lua_Integer>(bytes));
  return 1;
}

// torch_file.encode(value, {location = "cpu"}) -> bytes
int encode(lua_State* L) {
  luaL_checkany(L, 1);
  const SaveOptions options = save_options(L, 2, "torch_file.encode");
  const std::string bytes =
      checkpoint::torch_file::save_to_bytes(*torch_value_from_lua(L, 1, "value"), options);
  lua_pushlstring(L, bytes.data(), bytes.size());
  return 1;
}

// torch_file.load(path) -> value. Tensors are views of the file, read when used.
int load(lua_State* L) {
  const std::string path = luaL_checkstring(L, 1);
  TorchFile file(path);
  push_torch_file(L, file, path + ": value");
  return 1;
}

// torch_file.decode(bytes, name) -> value. `name` is what messages call the bytes.
int decode(lua_State* L) {
  const auto bytes = std::make_shared<const std::string>(bytes_at(L, 1));
  const std::string name = luaL_optstring(L, 2, "the text");
  TorchFile file(bytes, name);
  push_torch_file(L, file, name + ": value");
  return 1;
}

// zlib.compress(bytes, level = -1) -> bytes
int compress(lua_State* L) {
  const auto level = luaL_optinteger(L, 2, -1);
  GAMUT_CHECK(level >= -1 && level <= 9, "zlib.compress: the level is from 0 to 9, or -1, not ",
              level);
  const std::string out = checkpoint::zlib_compress(bytes_at(L, 1), static_cast<int>(level));
  lua_pushlstring(L, out.data(), out.size());
  return 1;
}

// zlib.decompress(bytes, limit, name) -> bytes. Never more than `limit` bytes.
int decompress(lua_State* L) {
  const lua_Integer limit = luaL_checkinteger(L, 2);
  GAMUT_CHECK(limit >= 0, "zlib.decompress: `limit` is a number of bytes, not ", limit);
  const std::string name = luaL_optstring(L, 3, "the text");
  const std::string out =
      checkpoint::zlib_decompress(bytes_at(L, 1), static_cast<size_t>(limit), name);
  lua_pushlstring(L, out.data(), out.size());
  return 1;
}

}  // namespace

int open_torch_file(lua_State* L) {
  const luaL_Reg functions[] = {{"save", guard<save>},
                                {"encode", guard<encode>},
                                {"load", guard<load>},
                                {"decode", guard<decode>},
                                {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

int open_zlib(lua_State* L) {
  const luaL_Reg functions[] = {
      {"compress", guard<compress>}, {"decompress", guard<decompress>}, {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
