// x:at{...} and x:set_at({...}, value): slicing.
//
// One entry a dimension, counted from 0: an integer picks one and drops the dimension, {start,
// stop} or {start, stop, step} takes a range (stop excluded, negative from the end, false for
// "open"),
// ":" takes all, "..." fills the dimensions in between, "new" inserts one of size 1, and a tensor
// of indices or booleans picks rows.
#include <ATen/ATen.h>
#include <ATen/TensorIndexing.h>

#include "script/call.h"
#include "script/tensor.h"
#include "script/tensor_members.h"

namespace gamut::script {
namespace {

using at::indexing::TensorIndex;

std::optional<c10::SymInt> range_bound(lua_State* L, int table, int nth) {
  std::optional<c10::SymInt> bound;
  lua_rawgeti(L, table, nth);
  if (lua_isinteger(L, -1)) {
    bound = c10::SymInt(lua_tointeger(L, -1));
  } else if (lua_toboolean(L, -1)) {
    luaL_error(L, "a range in x:at is {start, stop} or {start, stop, step} of integers, got a %s",
               describe_value(L, lua_gettop(L)).c_str());
  }
  lua_pop(L, 1);
  return bound;
}

TensorIndex range_index(lua_State* L, int table) {
  if (lua_rawlen(L, table) > 3) {
    luaL_error(L, "a range in x:at has at most three numbers: {start, stop, step}");
  }
  return at::indexing::Slice(range_bound(L, table, 1), range_bound(L, table, 2),
                             range_bound(L, table, 3));
}

TensorIndex one_index(lua_State* L, int index) {
  if (const at::Tensor* tensor = test_tensor(L, index)) return *tensor;
  if (lua_isinteger(L, index)) return c10::SymInt(lua_tointeger(L, index));
  if (lua_istable(L, index)) return range_index(L, index);
  if (lua_type(L, index) == LUA_TBOOLEAN && !lua_toboolean(L, index)) return at::indexing::Slice();
  const std::string_view word = lua_isstring(L, index) ? lua_tostring(L, index) : "";
  if (word == ":") return at::indexing::Slice();
  if (word == "...") return at::indexing::Ellipsis;
  if (word == "new") return at::indexing::None;
  luaL_error(
      L, "x:at takes integers, {start, stop, step}, \":\", \"...\", \"new\" and tensors, got %s",
      describe_value(L, index).c_str());
  return at::indexing::None;
}

// Holes (nil) stand for a whole dimension, so the table's length is not what counts.
std::vector<TensorIndex> read_indices(lua_State* L, int table) {
  luaL_checktype(L, table, LUA_TTABLE);
  lua_Integer last = 0;
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pop(L, 1);
    if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1) {
      luaL_error(L, "x:at takes a list, one entry a dimension");
    }
    last = std::max(last, lua_tointeger(L, -1));
  }
  std::vector<TensorIndex> indices;
  for (lua_Integer i = 1; i <= last; ++i) {
    if (lua_rawgeti(L, table, i) == LUA_TNIL) {
      indices.emplace_back(at::indexing::Slice());
    } else {
      indices.push_back(one_index(L, lua_gettop(L)));
    }
    lua_pop(L, 1);
  }
  return indices;
}

}  // namespace

int tensor_at(lua_State* L) {
  const at::Tensor& tensor = check_tensor(L, 1);
  push_tensor(L, tensor.index(read_indices(L, 2)));
  return 1;
}

int tensor_set_at(lua_State* L) {
  at::Tensor tensor = check_tensor(L, 1);
  const auto indices = read_indices(L, 2);
  if (const at::Tensor* value = test_tensor(L, 3)) {
    tensor.index_put_(indices, *value);
  } else if (lua_isinteger(L, 3)) {
    tensor.index_put_(indices, at::Scalar(static_cast<int64_t>(lua_tointeger(L, 3))));
  } else if (lua_isboolean(L, 3)) {
    tensor.index_put_(indices, at::Scalar(lua_toboolean(L, 3) != 0));
  } else {
    tensor.index_put_(indices, at::Scalar(static_cast<double>(luaL_checknumber(L, 3))));
  }
  lua_settop(L, 1);
  return 1;
}

}  // namespace gamut::script
