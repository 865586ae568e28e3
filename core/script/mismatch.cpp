// What to say when no overload of an operator takes the arguments that were passed.
#include "script/call.h"
#include "script/enums.h"
#include "script/tensor.h"

namespace gamut::script {
namespace {

constexpr size_t kShown = 8;

// A name that no overload has is the likeliest mistake: say it first.
std::string unknown_name(lua_State* L, const Operator& op, int table) {
  std::vector<std::string> known;
  for (const auto* list : {&op.overloads, &op.out_overloads}) {
    for (const auto& overload : *list) {
      for (const auto& p : overload.parameters) known.push_back(p.name);
      if (overload.makes_tensors) known.emplace_back("requires_grad");
    }
  }
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING) continue;
    const std::string name = lua_tostring(L, -1);
    if (name == "out" || std::binary_search(known.begin(), known.end(), name)) continue;
    lua_pop(L, 1);
    const auto near = nearest_names(known, name);
    const auto hint = near.empty() ? std::string() : c10::str("; did you mean `", near[0], "`?");
    return c10::str("`", op.name, "` has no argument `", name, "`", hint);
  }
  return "";
}

// A dtype that there is not, in the table of named arguments.
std::string unknown_dtype(lua_State* L, int table) {
  std::string message;
  lua_getfield(L, table, "dtype");
  if (lua_type(L, -1) == LUA_TSTRING && !dtype_from_name(lua_tostring(L, -1))) {
    const std::string name = lua_tostring(L, -1);
    const auto near = nearest_names(dtype_names(), name);
    const auto hint = near.empty() ? std::string() : c10::str("; did you mean `", near[0], "`?");
    message = c10::str("there is no dtype `", name, "`", hint);
  }
  lua_pop(L, 1);
  return message;
}

}  // namespace

std::string describe_arguments(lua_State* L, int first) {
  std::string text = "(";
  for (int i = first, n = lua_gettop(L); i <= n; ++i) {
    if (i > first) text += ", ";
    text += describe_value(L, i);
  }
  return text + ")";
}

std::string mismatch_message(lua_State* L, const Operator& op, int first) {
  std::string message;
  if (lua_istable(L, -1)) message = unknown_name(L, op, lua_gettop(L));
  if (message.empty() && lua_istable(L, -1)) message = unknown_dtype(L, lua_gettop(L));
  if (message.empty()) message = c10::str("no form of `", op.name, "` takes these arguments");
  message += c10::str("\n  passed: ", op.name, describe_arguments(L, first));
  const auto& list = op.overloads.empty() ? op.out_overloads : op.overloads;
  message += list.size() == 1 ? "\n  it is:  " : "\n  it has:";
  size_t shown = 0;
  for (const auto& overload : list) {
    if (shown++ == kShown) {
      message += c10::str("\n    and ", list.size() - kShown, " more");
      break;
    }
    message += (list.size() == 1 ? "" : "\n    ") + overload.signature();
  }
  return message;
}

}  // namespace gamut::script
