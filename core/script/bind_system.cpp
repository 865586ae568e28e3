// gamut.native.system: the few things that a run needs of the machine and that Lua's own library
// lacks: folders and their locks, whole-file writes, hashes and a monotonic clock.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "files/file.h"
#include "files/hash.h"
#include "gamut/error.h"
#include "script/lua.h"
#include "script/userdata.h"

namespace gamut::script {
namespace {

namespace fs = std::filesystem;

// system.monotonic() -> seconds; only differences mean something.
int monotonic(lua_State* L) {
  using Seconds = std::chrono::duration<double>;
  lua_pushnumber(L, Seconds(std::chrono::steady_clock::now().time_since_epoch()).count());
  return 1;
}

// system.make_directories(path): parents too; an existing folder is fine.
int make_directories(lua_State* L) {
  const fs::path path = luaL_checkstring(L, 1);
  std::error_code error;
  fs::create_directories(path, error);
  GAMUT_CHECK(!error, "cannot make the folder ", path.string(), ": ", error.message());
  return 0;
}

// system.write_file(path, text): as a whole or not at all, flushed to disk.
int write_file(lua_State* L) {
  size_t size = 0;
  const char* path = luaL_checkstring(L, 1);
  const char* text = luaL_checklstring(L, 2, &size);
  files::AtomicFile file{fs::path(path)};
  file.file().write(text, size);
  file.commit();
  return 0;
}

// system.read_file(path) -> its bytes.
int read_file(lua_State* L) {
  const files::MappedFile file{fs::path(luaL_checkstring(L, 1))};
  lua_pushlstring(L, reinterpret_cast<const char*>(file.data()), file.size());
  return 1;
}

// system.exists(path) -> boolean.
int exists(lua_State* L) {
  std::error_code ignored;
  lua_pushboolean(L, fs::exists(luaL_checkstring(L, 1), ignored));
  return 1;
}

// A folder that only this process works in, until the object is closed or goes, or the process
// ends.
struct FolderLock {
  static constexpr const char* kName = "gamut.FolderLock";
  int descriptor = -1;

  explicit FolderLock(int opened) : descriptor(opened) {}
  FolderLock(FolderLock&& other) noexcept : descriptor(std::exchange(other.descriptor, -1)) {}
  ~FolderLock() { release(); }
  void release() {
    if (descriptor >= 0) close(std::exchange(descriptor, -1));
  }
};

// At the end of a `local lock <close>`.
int close_lock(lua_State* L) {
  check_object<FolderLock>(L, 1).release();
  return 0;
}

// system.lock_folder(path) -> an object that holds the lock (it may be <close>), or nil when
// another process has it. File systems that know no locks grant it.
int lock_folder(lua_State* L) {
  const fs::path path = luaL_checkstring(L, 1);
  FolderLock lock(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (lock.descriptor < 0) files::fail("open", path, errno);
  if (flock(lock.descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    lua_pushnil(L);
  } else {
    push_object(L, std::move(lock));
  }
  return 1;
}

// system.sha256(path) -> 64 hexadecimal digits of a file's content.
int sha256(lua_State* L) {
  const files::MappedFile file{fs::path(luaL_checkstring(L, 1))};
  lua_pushstring(L, files::sha256_hex(file.data(), file.size()).c_str());
  return 1;
}

}  // namespace

int open_system(lua_State* L) {
  const luaL_Reg none[] = {{nullptr, nullptr}};
  const luaL_Reg lock_metamethods[] = {{"__close", guard<close_lock>}, {nullptr, nullptr}};
  new_class<FolderLock>(L, lock_metamethods, none);
  const luaL_Reg functions[] = {
      {"monotonic", guard<monotonic>},   {"make_directories", guard<make_directories>},
      {"write_file", guard<write_file>}, {"read_file", guard<read_file>},
      {"exists", guard<exists>},         {"lock_folder", guard<lock_folder>},
      {"sha256", guard<sha256>},         {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
