#include "script/place.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>

namespace gamut::script {
namespace {

bool is_file(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

// Lua shortens long names to `...` and their end.
bool is_library_file(const std::string& shown, const std::string& folder) {
  if (folder.empty()) return false;
  if (shown.compare(0, 3, "...") != 0) return shown.compare(0, folder.size(), folder) == 0;
  const std::string end = shown.substr(3);
  for (size_t start = 0; start <= folder.size(); ++start) {
    const size_t shared = folder.size() - start;
    if (shared > end.size() || folder.compare(start, shared, end, 0, shared) != 0) continue;
    if (is_file(folder.substr(0, start) + end)) return true;
  }
  return false;
}

// Where the `file:line: ` that begins at `start` ends; `start` itself where there is none.
size_t skip_place(const std::string& message, size_t start, std::string& file) {
  const size_t colon = message.find(':', start);
  if (colon == std::string::npos || colon == start) return start;
  size_t end = colon + 1;
  while (end < message.size() && std::isdigit(static_cast<unsigned char>(message[end]))) ++end;
  if (end == colon + 1 || message.compare(end, 2, ": ") != 0) return start;
  file = message.substr(start, colon - start);
  return file.find('\n') == std::string::npos ? end + 2 : start;
}

}  // namespace

std::string author_place(lua_State* L, int level, const std::string& library_folder) {
  lua_Debug frame;
  for (; lua_getstack(L, level, &frame); ++level) {
    lua_getinfo(L, "Sl", &frame);
    if (frame.currentline <= 0 || frame.source[0] != '@') continue;
    const std::string file = frame.source + 1;
    if (library_folder.empty() || file.compare(0, library_folder.size(), library_folder) != 0) {
      return c10::str(file, ":", frame.currentline);
    }
  }
  return "";
}

std::string placed(const std::string& message, const std::string& place,
                   const std::string& library_folder) {
  size_t start = 0;
  if (message.compare(0, 3, "in ") == 0) {
    const size_t end = message.find(": ");
    if (end != std::string::npos) start = end + 2;
  }
  std::string file;
  const size_t rest = skip_place(message, start, file);
  if (rest != start && !is_library_file(file, library_folder)) return message;
  const std::string front = place.empty() ? "" : place + ": ";
  return front + message.substr(0, start) + message.substr(rest);
}

}  // namespace gamut::script
