// To Lua. Recurses with bounded depth and says where in the value it is.
#include <gamut/error.h>

#include <vector>

#include "checkpoint/torch_file/pickle.h"
#include "script/tensor.h"
#include "script/torch_value.h"

namespace gamut::script {
namespace {

namespace torch_file = checkpoint::torch_file;
using torch_file::kMaxPickleDepth;

constexpr int kMaxStack = 8;  // slots that one level takes at most

class Raising {
 public:
  Raising(lua_State* L, torch_file::TorchFile& file, std::string path)
      : lua_(L), file_(file), pickle_(file.pickle()), path_(std::move(path)) {
    lua_newtable(lua_);
    made_ = lua_gettop(lua_);
  }

  // Leaves the value in the place of the table of those that were made.
  void run() {
    push(pickle_.root);
    lua_remove(lua_, made_);
  }

 private:
  void push(torch_file::Ref ref) {
    luaL_checkstack(lua_, kMaxStack, "a nested value");
    const auto& value = pickle_[ref];
    if (const auto* text = std::get_if<std::string_view>(&value)) {
      lua_pushlstring(lua_, text->data(), text->size());
    } else if (const auto* integer = std::get_if<int64_t>(&value)) {
      lua_pushinteger(lua_, *integer);
    } else if (const auto* number = std::get_if<double>(&value)) {
      lua_pushnumber(lua_, *number);
    } else if (const auto* truth = std::get_if<bool>(&value)) {
      lua_pushboolean(lua_, *truth);
    } else if (std::holds_alternative<torch_file::PickleNone>(value)) {
      lua_pushlightuserdata(lua_, nullptr);
    } else if (lua_rawgeti(lua_, made_, slot(ref)) == LUA_TNIL) {
      lua_pop(lua_, 1);
      push_new(ref);
    }
  }

  void push_new(torch_file::Ref ref) {
    const auto& value = pickle_[ref];
    GAMUT_CHECK(++depth_ <= kMaxPickleDepth, path_, " is nested deeper than ", kMaxPickleDepth,
                " levels");
    if (const auto* tensor = std::get_if<torch_file::PickleTensor>(&value)) {
      push_tensor(lua_, file_.tensor(*tensor, path_));
      keep(ref);
    } else if (const auto* dict = std::get_if<torch_file::PickleDict>(&value)) {
      push_dict(ref, *dict);
    } else if (const auto* list = std::get_if<torch_file::PickleList>(&value)) {
      push_items(ref, "list", list->items);
    } else if (const auto* tuple = std::get_if<torch_file::PickleTuple>(&value)) {
      push_items(ref, "tuple", tuple->items);
    } else {
      throw Error(c10::str(path_, " is ", torch_file::kind_of(value), ", which is no value"));
    }
    --depth_;
  }

  static lua_Integer slot(torch_file::Ref ref) { return static_cast<lua_Integer>(ref) + 1; }
  // What is on top of the stack is what `ref` gives from now on.
  void keep(torch_file::Ref ref) {
    lua_pushvalue(lua_, -1);
    lua_rawseti(lua_, made_, slot(ref));
  }

  // A table with a metatable that says its kind.
  void push_table(torch_file::Ref ref, const char* kind) {
    lua_newtable(lua_);
    lua_createtable(lua_, 0, 2);
    lua_pushstring(lua_, kind);
    lua_setfield(lua_, -2, "kind");
    lua_setmetatable(lua_, -2);
    keep(ref);
  }

  void push_items(torch_file::Ref ref, const char* kind,
                  const std::vector<torch_file::Ref>& items) {
    push_table(ref, kind);
    const size_t length = path_.size();
    lua_Integer i = 0;
    for (const auto item : items) {
      path_ += c10::str("[", ++i, "]");
      push(item);
      lua_rawseti(lua_, -2, i);
      path_.resize(length);
    }
  }

  void push_dict(torch_file::Ref ref, const torch_file::PickleDict& dict) {
    push_table(ref, dict.is_ordered ? "ordered_dict" : "dict");
    lua_getmetatable(lua_, -1);
    if (dict.is_ordered && dict.attributes) {
      push(*dict.attributes);
      lua_setfield(lua_, -2, "attributes");
    }
    lua_newtable(lua_);  // the keys
    lua_pushvalue(lua_, -1);
    lua_setfield(lua_, -3, "keys");
    lua_remove(lua_, -2);
    const size_t length = path_.size();
    lua_Integer count = 0;
    for (const auto& [key, item] : dict.items) {
      push_key(key);
      lua_pushvalue(lua_, -1);
      lua_rawseti(lua_, -3, ++count);
      push(item);
      lua_rawset(lua_, -4);
      path_.resize(length);
    }
    lua_pop(lua_, 1);
  }

  void push_key(torch_file::Ref key) {
    const auto& value = pickle_[key];
    const bool fits = std::holds_alternative<std::string_view>(value) ||
                      std::holds_alternative<int64_t>(value) || std::holds_alternative<bool>(value);
    GAMUT_CHECK(fits, path_, " has ", torch_file::kind_of(value),
                " for a key; texts, integers and booleans are read");
    push(key);
    path_ += "." + std::string(luaL_tolstring(lua_, -1, nullptr));
    lua_pop(lua_, 1);
  }

  lua_State* lua_;
  torch_file::TorchFile& file_;
  const torch_file::Pickle& pickle_;
  std::string path_;
  int made_ = 0;  // the stack's index of a table: values that are made, by their place
  size_t depth_ = 0;
};

}  // namespace

void push_torch_file(lua_State* L, torch_file::TorchFile& file, const std::string& path) {
  Raising(L, file, path).run();
}

}  // namespace gamut::script
