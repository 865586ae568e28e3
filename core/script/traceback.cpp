#include "script/traceback.h"

#include <c10/util/StringUtil.h>

#include <cstring>

namespace gamut::script {
namespace {

constexpr int kMaxFrames = 30;

std::string frame_name(const lua_Debug& frame) {
  if (std::strcmp(frame.what, "main") == 0) return "main chunk";
  if (frame.name && *frame.namewhat) {
    return c10::str(frame.namewhat, " `", frame.name, "`");
  }
  return c10::str("function <", frame.linedefined, ">");
}

bool is_library(const lua_Debug& frame, const std::string& folder) {
  const std::string source = frame.source[0] == '@' ? frame.source + 1 : "";
  return !folder.empty() && source.compare(0, folder.size(), folder) == 0;
}

bool is_native(const lua_Debug& frame) {
  return std::strcmp(frame.what, "C") == 0 || frame.currentline < 0;
}

std::string folded(int count) {
  if (count == 0) return "";
  return c10::str("    (", count, count == 1 ? " frame" : " frames", " of the gamut library)\n");
}

}  // namespace

std::string lua_traceback(lua_State* L, int level, const std::string& library_folder, bool full) {
  if (full) {
    luaL_traceback(L, L, nullptr, level);
    std::string text = lua_tostring(L, -1);
    lua_pop(L, 1);
    return text + "\n";
  }
  std::string text;
  int shown = 0, skipped = 0;
  lua_Debug frame;
  for (; lua_getstack(L, level, &frame); ++level) {
    lua_getinfo(L, "Slnt", &frame);
    if (is_native(frame)) continue;
    if (is_library(frame, library_folder)) {
      ++skipped;
      continue;
    }
    if (shown++ == kMaxFrames) return text + "    ...\n";
    text += folded(skipped);
    skipped = 0;
    const char* source = frame.source[0] == '@' ? frame.source + 1 : frame.short_src;
    text += c10::str("    ", source, ":", frame.currentline, ": in ", frame_name(frame), "\n");
    if (frame.istailcall) text += "    (calls before this one were replaced by it)\n";
  }
  return text;
}

}  // namespace gamut::script
