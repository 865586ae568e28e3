// Both directions recurse; depth is bounded, and a cycle runs into the check on the way down.
#include "script/json.h"

#include <gamut/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "checkpoint/json_text.h"
#include "script/json_array.h"

namespace gamut::script {
namespace {

using nlohmann::json;

constexpr const char* kNumberTag = "$number";

class Reader {
 public:
  Reader(lua_State* L, NonFinite policy, std::string path)
      : lua_(L), policy_(policy), path_(std::move(path)) {}

  json read(int index) {
    switch (lua_type(lua_, index)) {
      case LUA_TBOOLEAN:
        return lua_toboolean(lua_, index) != 0;
      case LUA_TNUMBER:
        if (lua_isinteger(lua_, index)) return static_cast<int64_t>(lua_tointeger(lua_, index));
        return number(lua_tonumber(lua_, index));
      case LUA_TSTRING:
        return string(index);
      case LUA_TTABLE:
        return table(index);
      case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(lua_, index) == nullptr) return nullptr;
        [[fallthrough]];
      default:
        throw Error(c10::str(path_, " is a ", type_name(index), ", which JSON cannot hold"));
    }
  }

 private:
  // What the value calls itself ("gamut.Tensor") says more than "userdata".
  std::string type_name(int index) {
    if (luaL_getmetafield(lua_, index, "__name") != LUA_TSTRING) return luaL_typename(lua_, index);
    std::string name = lua_tostring(lua_, -1);
    lua_pop(lua_, 1);
    return name;
  }

  json number(double value) const {
    if (std::isfinite(value)) return value;
    const char* name = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
    GAMUT_CHECK(policy_ != NonFinite::refuse, path_, " is ", name,
                ", which JSON has no number for");
    if (policy_ == NonFinite::null) return nullptr;
    return {{kNumberTag, name}};
  }

  json string(int index) const {
    size_t size = 0;
    const char* text = lua_tolstring(lua_, index, &size);
    json value = std::string(text, size);
    try {
      static_cast<void>(value.dump());
    } catch (const json::type_error&) {
      throw Error(c10::str(path_, " is a string that is not valid UTF-8, which JSON cannot hold"));
    }
    return value;
  }

  json table(int index) {
    index = lua_absindex(lua_, index);
    const void* identity = lua_topointer(lua_, index);
    GAMUT_CHECK(std::find(above_.begin(), above_.end(), identity) == above_.end(), path_,
                " contains itself, which JSON cannot hold");
    GAMUT_CHECK(above_.size() + 1 < checkpoint::kMaxJsonDepth, path_, " is nested deeper than ",
                checkpoint::kMaxJsonDepth, " levels");
    luaL_checkstack(lua_, 4, "a nested table");
    above_.push_back(identity);
    const size_t length = path_.size();
    json value = is_list(index) ? list(index) : object(index);
    path_.resize(length);
    above_.pop_back();
    return value;
  }

  bool is_list(int index) const {
    return is_json_array(lua_, index) || lua_rawlen(lua_, index) > 0;
  }

  json list(int index) {
    const size_t length = path_.size();
    const auto count = static_cast<lua_Integer>(lua_rawlen(lua_, index));
    check_list_keys(index, count);
    json value = json::array();
    for (lua_Integer i = 1; i <= count; ++i) {
      path_.resize(length);
      path_ += c10::str("[", i, "]");
      lua_rawgeti(lua_, index, i);
      value.push_back(read(-1));
      lua_pop(lua_, 1);
    }
    return value;
  }

  // Exactly the keys 1..count: then there are `count` keys and none of them is something else.
  void check_list_keys(int index, lua_Integer count) {
    lua_Integer keys = 0;
    for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1), ++keys) {
      const bool within = lua_isinteger(lua_, -2) && lua_tointeger(lua_, -2) >= 1 &&
                          lua_tointeger(lua_, -2) <= count;
      if (!within) refuse_key("a list");
    }
    GAMUT_CHECK(keys == count, path_, " is a list with holes, which JSON cannot hold");
  }

  json object(int index) {
    const size_t length = path_.size();
    json value = json::object();
    for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1)) {
      path_.resize(length);
      if (lua_type(lua_, -2) != LUA_TSTRING) refuse_key("a table with names");
      json key = string(-2);
      path_ += c10::str(".", key.get_ref<std::string&>());
      value[key.get_ref<std::string&>()] = read(-1);
    }
    path_.resize(length);
    const bool taken =
        policy_ == NonFinite::tagged && value.size() == 1 && value.contains(kNumberTag);
    GAMUT_CHECK(!taken, path_, " has `", kNumberTag,
                "` as its only key, which stands for a number");
    return value;
  }

  // The key is below the value on the stack.
  [[noreturn]] void refuse_key(const char* kind) {
    const std::string key = luaL_tolstring(lua_, -2, nullptr);
    throw Error(c10::str(path_, " is ", kind, " and has the key ", key,
                         " besides; JSON holds either keys 1..n or only strings"));
  }

  lua_State* lua_;
  NonFinite policy_;
  std::string path_;
  std::vector<const void*> above_;  // the tables that hold this one
};

bool push_tagged(lua_State* L, const json& value) {
  if (value.size() != 1 || !value.contains(kNumberTag)) return false;
  const json& name = value.at(kNumberTag);
  using Limits = std::numeric_limits<double>;
  if (name == "nan") return lua_pushnumber(L, Limits::quiet_NaN()), true;
  if (name == "inf") return lua_pushnumber(L, Limits::infinity()), true;
  if (name == "-inf") return lua_pushnumber(L, -Limits::infinity()), true;
  return false;
}

void push_list(lua_State* L, const json& value, NonFinite policy) {
  lua_createtable(L, static_cast<int>(std::min<size_t>(value.size(), 1 << 20)), 0);
  if (value.empty()) mark_json_array(L, -1);
  lua_Integer index = 0;
  for (const json& element : value) {
    push_json(L, element, policy);
    lua_rawseti(L, -2, ++index);
  }
}

void push_object(lua_State* L, const json& value, NonFinite policy) {
  if (policy == NonFinite::tagged && push_tagged(L, value)) return;
  lua_createtable(L, 0, static_cast<int>(std::min<size_t>(value.size(), 1 << 20)));
  for (const auto& [name, element] : value.items()) {
    lua_pushlstring(L, name.data(), name.size());
    push_json(L, element, policy);
    lua_rawset(L, -3);
  }
}

}  // namespace

json json_from_lua(lua_State* L, int index, NonFinite policy, const std::string& path) {
  return Reader(L, policy, path).read(lua_absindex(L, index));
}

void push_json(lua_State* L, const json& value, NonFinite policy) {
  luaL_checkstack(L, 4, "nested JSON");
  switch (value.type()) {
    case json::value_t::boolean:
      return lua_pushboolean(L, value.get<bool>());
    case json::value_t::number_integer:
      return lua_pushinteger(L, value.get<int64_t>());
    case json::value_t::number_unsigned:
      if (value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
        return lua_pushnumber(L, value.get<double>());
      }
      return lua_pushinteger(L, value.get<int64_t>());
    case json::value_t::number_float:
      return lua_pushnumber(L, value.get<double>());
    case json::value_t::string: {
      const auto& text = value.get_ref<const std::string&>();
      lua_pushlstring(L, text.data(), text.size());
      return;
    }
    case json::value_t::array:
      return push_list(L, value, policy);
    case json::value_t::object:
      return push_object(L, value, policy);
    default:
      return lua_pushlightuserdata(L, nullptr);
  }
}

}  // namespace gamut::script
