// From Lua. Recurses with bounded depth and says where in the value it is.
#include "script/torch_value.h"

#include <gamut/error.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "checkpoint/torch_file/pickle.h"
#include "script/json_array.h"
#include "script/tensor.h"
#include "telemetry/utf8.h"

namespace gamut::script {
namespace {

namespace torch_file = checkpoint::torch_file;
using torch_file::kMaxPickleDepth;
using torch_file::Value;
using torch_file::ValuePtr;

constexpr int kMaxStack = 8;  // slots that one level takes at most

std::string text_at(lua_State* L, int index) {
  size_t size = 0;
  const char* text = lua_tolstring(L, index, &size);
  return {text, size};
}

class Lowering {
 public:
  Lowering(lua_State* L, std::string path) : lua_(L), path_(std::move(path)) {}

  ValuePtr value(int index) {
    index = lua_absindex(lua_, index);
    switch (lua_type(lua_, index)) {
      case LUA_TBOOLEAN:
        return make({lua_toboolean(lua_, index) != 0});
      case LUA_TNUMBER:
        if (!lua_isinteger(lua_, index)) return make({double{lua_tonumber(lua_, index)}});
        return make({static_cast<int64_t>(lua_tointeger(lua_, index))});
      case LUA_TSTRING:
        return text(index, false);
      case LUA_TTABLE:
        return table(index);
      case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(lua_, index) == nullptr) return make({torch_file::None{}});
        break;
      case LUA_TUSERDATA:
        if (const at::Tensor* tensor = test_tensor(lua_, index)) return make({*tensor});
        break;
      default:
        break;
    }
    throw Error(c10::str(path_, " is a ", luaL_typename(lua_, index),
                         ", which a file of torch.save cannot hold here"));
  }

 private:
  static ValuePtr make(Value value) { return std::make_shared<const Value>(std::move(value)); }

  ValuePtr text(int index, bool is_distinct) {
    std::string text = text_at(lua_, index);
    GAMUT_CHECK(telemetry::valid_utf8(text) == text, path_,
                " is a string that is not UTF-8 or holds a NUL; a tensor of uint8 holds any bytes");
    return make({torch_file::Text{std::move(text), is_distinct}});
  }

  // What the table's metatable says that it is, or "".
  std::string kind_of(int index) {
    if (is_json_array(lua_, index)) return "list";
    const int type = luaL_getmetafield(lua_, index, "kind");
    if (type == LUA_TNIL) return "";
    const std::string kind = type == LUA_TSTRING ? lua_tostring(lua_, -1) : "?";
    lua_pop(lua_, 1);
    return kind;
  }

  // A table that is met again is the same object, as in Python.
  ValuePtr table(int index) {
    const void* identity = lua_topointer(lua_, index);
    if (const auto known = made_.find(identity); known != made_.end()) return known->second;
    GAMUT_CHECK(open_.insert(identity).second, path_,
                " contains itself, which a file of torch.save cannot hold here");
    GAMUT_CHECK(open_.size() <= kMaxPickleDepth, path_, " is nested deeper than ", kMaxPickleDepth,
                " levels");
    luaL_checkstack(lua_, kMaxStack, "a nested table");
    const size_t length = path_.size();
    ValuePtr value = new_table(index);
    path_.resize(length);
    open_.erase(identity);
    return made_[identity] = std::move(value);
  }

  ValuePtr new_table(int index) {
    const std::string kind = kind_of(index);
    if (kind == "text") return distinct_text(index);
    if (kind == "tuple") return make({torch_file::Tuple{items(index)}});
    const bool is_list = kind == "list" || (kind.empty() && lua_rawlen(lua_, index) > 0);
    if (is_list) return make({torch_file::List{items(index)}});
    GAMUT_CHECK(kind.empty() || kind == "dict" || kind == "ordered_dict", path_,
                " has a metatable that is not one of gamut.torch_file's");
    return dict(index, kind);
  }

  ValuePtr distinct_text(int index) {
    const bool is_text = lua_rawgeti(lua_, index, 1) == LUA_TSTRING;
    GAMUT_CHECK(is_text, path_, " is a torch_file.text without a string");
    ValuePtr value = text(lua_gettop(lua_), true);
    lua_pop(lua_, 1);
    return value;
  }

  std::vector<ValuePtr> items(int index) {
    std::vector<ValuePtr> items;
    const auto count = static_cast<lua_Integer>(lua_rawlen(lua_, index));
    lua_Integer keys = 0;
    for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1)) ++keys;
    GAMUT_CHECK(keys == count, path_, " is a list with other keys than 1 to ", count,
                "; a dictionary with such keys is made by torch_file.dict");
    const size_t length = path_.size();
    for (lua_Integer i = 1; i <= count; ++i, lua_pop(lua_, 1)) {
      lua_rawgeti(lua_, index, i);
      path_ += c10::str("[", i, "]");
      items.push_back(value(-1));
      path_.resize(length);
    }
    return items;
  }

  ValuePtr dict(int index, const std::string& kind) {
    torch_file::Dict dict;
    dict.is_ordered = kind == "ordered_dict";
    push_keys(index);
    const int keys = lua_gettop(lua_);
    const auto count = static_cast<lua_Integer>(lua_rawlen(lua_, keys));
    for (lua_Integer i = 1; i <= count; ++i) add_item(dict, index, keys, i);
    lua_pop(lua_, 1);
    if (luaL_getmetafield(lua_, index, "attributes") != LUA_TNIL) {
      path_ += ".__dict__";
      dict.attributes = value(-1);
      const bool fits = std::holds_alternative<torch_file::Dict>(dict.attributes->data);
      GAMUT_CHECK(fits && dict.is_ordered, path_,
                  " must be a dictionary, the attributes of an ordered one");
      lua_pop(lua_, 1);
    }
    return make({std::move(dict)});
  }

  void add_item(torch_file::Dict& dict, int index, int keys, lua_Integer i) {
    const size_t length = path_.size();
    lua_rawgeti(lua_, keys, i);
    path_ += "." + std::string(luaL_tolstring(lua_, -1, nullptr));
    lua_pop(lua_, 1);
    ValuePtr key = value(-1);
    lua_rawget(lua_, index);
    dict.items.emplace_back(std::move(key), value(-1));
    lua_pop(lua_, 1);
    path_.resize(length);
  }

  // A list of the table's keys: those that its metatable lists and that are still there, then the
  // others by name.
  void push_keys(int index) {
    lua_newtable(lua_);
    const int keys = lua_gettop(lua_);
    lua_newtable(lua_);  // those that are listed
    lua_Integer count = 0;
    if (luaL_getmetafield(lua_, index, "keys") == LUA_TTABLE) {
      const auto listed = static_cast<lua_Integer>(lua_rawlen(lua_, -1));
      for (lua_Integer i = 1; i <= listed; ++i) {
        lua_rawgeti(lua_, -1, i);
        if (take_listed(index, keys + 1)) {
          lua_rawseti(lua_, keys, ++count);
        } else {
          lua_pop(lua_, 1);
        }
      }
    }
    lua_settop(lua_, keys + 1);
    for (const std::string& name : other_names(index, keys + 1)) {
      lua_pushlstring(lua_, name.data(), name.size());
      lua_rawseti(lua_, keys, ++count);
    }
    lua_settop(lua_, keys);
  }

  // Whether the key on top of the stack is in the table and was not taken before; notes that.
  bool take_listed(int index, int taken) {
    lua_pushvalue(lua_, -1);
    const bool is_there = lua_rawget(lua_, index) != LUA_TNIL;
    lua_pushvalue(lua_, -2);
    const bool is_new = lua_rawget(lua_, taken) == LUA_TNIL;
    lua_pop(lua_, 2);
    if (!is_there || !is_new) return false;
    lua_pushvalue(lua_, -1);
    lua_pushboolean(lua_, true);
    lua_rawset(lua_, taken);
    return true;
  }

  std::vector<std::string> other_names(int index, int taken) {
    std::vector<std::string> names;
    for (lua_pushnil(lua_); lua_next(lua_, index); lua_pop(lua_, 1)) {
      lua_pushvalue(lua_, -2);
      const bool is_new = lua_rawget(lua_, taken) == LUA_TNIL;
      lua_pop(lua_, 1);
      if (!is_new) continue;
      GAMUT_CHECK(lua_type(lua_, -2) == LUA_TSTRING, path_, " has the key ",
                  luaL_tolstring(lua_, -2, nullptr), " beside names; torch_file.dict orders such");
      names.push_back(text_at(lua_, -2));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  lua_State* lua_;
  std::string path_;
  std::unordered_set<const void*> open_;  // the tables that hold this one
  std::unordered_map<const void*, ValuePtr> made_;
};

}  // namespace

ValuePtr torch_value_from_lua(lua_State* L, int index, const std::string& path) {
  return Lowering(L, path).value(index);
}

}  // namespace gamut::script
