// Between tensors and Lua's own values: gamut.tensor, x:tolist(), x:item().
#include <ATen/ATen.h>

#include <cstring>

#include "script/arguments.h"
#include "script/tensor.h"
#include "script/tensor_members.h"

namespace gamut::script {
namespace {

// Elements of a nested table in reading order, and the shape that they fill.
struct Reading {
  std::vector<int64_t> shape;
  std::vector<double> numbers;
  std::vector<int64_t> integers;
  bool all_integers = true;
  bool all_booleans = true;
  std::vector<at::Tensor> tensors;

  size_t count() const { return numbers.size(); }
};

void read_leaf(lua_State* L, int index, Reading& r) {
  const int type = lua_type(L, index);
  if (type != LUA_TNUMBER && type != LUA_TBOOLEAN) {
    luaL_error(L, "gamut.tensor takes numbers, booleans and nested tables of them, got %s",
               describe_value(L, index).c_str());
  }
  const bool boolean = type == LUA_TBOOLEAN;
  const bool integer = boolean || lua_isinteger(L, index);
  r.all_booleans = r.all_booleans && boolean;
  r.all_integers = r.all_integers && integer;
  const int64_t whole = boolean ? lua_toboolean(L, index) : integer ? lua_tointeger(L, index) : 0;
  r.integers.push_back(whole);
  r.numbers.push_back(integer ? static_cast<double>(whole) : lua_tonumber(L, index));
}

void read_value(lua_State* L, int index, size_t depth, Reading& r) {
  luaL_checkstack(L, 4, "table nested too deeply");
  if (!lua_istable(L, index)) {
    if (depth != r.shape.size()) luaL_error(L, "gamut.tensor: rows are of different depth");
    return read_leaf(L, index, r);
  }
  const auto n = static_cast<int64_t>(lua_rawlen(L, index));
  if (depth == r.shape.size()) {
    if (r.count() > 0) luaL_error(L, "gamut.tensor: rows are of different depth");
    r.shape.push_back(n);
  }
  if (r.shape[depth] != n) {
    luaL_error(L, "gamut.tensor: rows differ in length at depth %d: %I and %I",
               static_cast<int>(depth), static_cast<LUAI_UACINT>(r.shape[depth]),
               static_cast<LUAI_UACINT>(n));
  }
  for (int64_t i = 1; i <= n; ++i) {
    lua_rawgeti(L, index, i);
    read_value(L, lua_gettop(L), depth + 1, r);
    lua_pop(L, 1);
  }
}

at::Tensor to_tensor(const Reading& r) {
  if (r.all_integers && !r.integers.empty()) {
    at::Tensor tensor = at::empty(r.shape, at::kLong);
    std::memcpy(tensor.mutable_data_ptr(), r.integers.data(), r.integers.size() * sizeof(int64_t));
    return r.all_booleans ? tensor.to(at::kBool) : tensor;
  }
  at::Tensor tensor = at::empty(r.shape, at::kDouble);
  std::memcpy(tensor.mutable_data_ptr(), r.numbers.data(), r.numbers.size() * sizeof(double));
  return tensor;
}

struct Wanted {
  std::optional<at::ScalarType> dtype;
  std::optional<at::Device> device;
  bool requires_grad = false;
};

Wanted read_options(lua_State* L, int table) {
  Wanted wanted;
  if (lua_isnoneornil(L, table)) return wanted;
  luaL_checktype(L, table, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, table)) {
    const std::string name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (name == "dtype") {
      wanted.dtype = check_dtype(L, lua_gettop(L));
    } else if (name == "device") {
      wanted.device = check_device(L, lua_gettop(L));
    } else if (name == "requires_grad") {
      wanted.requires_grad = lua_toboolean(L, -1);
    } else {
      luaL_error(L, "gamut.tensor has no option `%s`; it takes dtype, device and requires_grad",
                 luaL_tolstring(L, -2, nullptr));
    }
    lua_pop(L, 1);
  }
  return wanted;
}

void push_element(lua_State* L, const at::Tensor& flat, int64_t i) {
  const char* data = static_cast<const char*>(flat.const_data_ptr()) + i * flat.itemsize();
  switch (flat.scalar_type()) {
    case at::kLong:
      return lua_pushinteger(L, *reinterpret_cast<const int64_t*>(data));
    case at::kBool:
      return lua_pushboolean(L, *reinterpret_cast<const bool*>(data));
    default:
      return lua_pushnumber(L, *reinterpret_cast<const double*>(data));
  }
}

// Elements as int64, bool or double on the CPU: the three that Lua knows.
at::Tensor readable(const at::Tensor& tensor) {
  at::Tensor t = tensor.detach().cpu();
  if (t.is_complex()) t = at::view_as_real(t.resolve_conj());
  if (t.scalar_type() == at::kBool) return t.contiguous();
  return t.to(at::isIntegralType(t.scalar_type(), false) ? at::kLong : at::kDouble).contiguous();
}

void push_nested(lua_State* L, const at::Tensor& flat, int64_t dim, int64_t& next) {
  luaL_checkstack(L, 4, "tensor of too many dimensions");
  if (dim == flat.dim()) return push_element(L, flat, next++);
  const int64_t n = flat.size(dim);
  lua_createtable(L, static_cast<int>(n), 0);
  for (int64_t i = 1; i <= n; ++i) {
    push_nested(L, flat, dim + 1, next);
    lua_rawseti(L, -2, i);
  }
}

}  // namespace

// gamut.tensor(value, {dtype =, device =, requires_grad =}): integers become int64, other numbers
// float32, booleans bool; a tensor is copied.
int tensor_from_lua(lua_State* L) {
  luaL_checkany(L, 1);
  const Wanted wanted = read_options(L, 2);
  at::Tensor tensor;
  if (const at::Tensor* given = test_tensor(L, 1)) {
    tensor = given->detach().clone();
  } else {
    Reading reading;
    read_value(L, 1, 0, reading);
    tensor = to_tensor(reading);
    if (!wanted.dtype && tensor.scalar_type() == at::kDouble) {
      tensor = tensor.to(at::get_default_dtype_as_scalartype());
    }
  }
  tensor = tensor.to(wanted.device.value_or(tensor.device()),
                     wanted.dtype.value_or(tensor.scalar_type()));
  if (wanted.requires_grad) tensor.set_requires_grad(true);
  push_tensor(L, std::move(tensor));
  return 1;
}

int tensor_to_list(lua_State* L) {
  const at::Tensor flat = readable(check_tensor(L, 1));
  int64_t next = 0;
  push_nested(L, flat, 0, next);
  return 1;
}

// x:item(): the one element as a number or boolean; of a complex tensor its two parts.
int tensor_item(lua_State* L) {
  const at::Tensor& tensor = check_tensor(L, 1);
  if (tensor.numel() != 1) {
    return luaL_error(L, "x:item() wants a tensor of one element, this one has %I: %s",
                      static_cast<LUAI_UACINT>(tensor.numel()), describe_value(L, 1).c_str());
  }
  const at::Scalar value = tensor.item();
  if (value.isComplex()) {
    lua_pushnumber(L, value.toComplexDouble().real());
    lua_pushnumber(L, value.toComplexDouble().imag());
    return 2;
  }
  if (value.isBoolean()) {
    lua_pushboolean(L, value.toBool());
  } else if (value.isIntegral(false)) {
    lua_pushinteger(L, value.toLong());
  } else {
    lua_pushnumber(L, value.toDouble());
  }
  return 1;
}

}  // namespace gamut::script
