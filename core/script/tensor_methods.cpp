// Methods of a tensor that are no operators, or that operators do not cover as scripts expect.
#include <ATen/ATen.h>

#include "script/arguments.h"
#include "script/enums.h"
#include "script/tensor.h"
#include "script/tensor_members.h"

namespace gamut::script {
namespace {

// Takes a dimension of `tensor` counted from 0, or from the end when negative.
int64_t check_dim(lua_State* L, int index, const at::Tensor& tensor) {
  const int64_t dim = luaL_checkinteger(L, index);
  const int64_t n = tensor.dim();
  if (dim < -n || dim >= n) {
    luaL_error(L, "dimension %I is out of range for a tensor of %I dimensions (they count from 0)",
               static_cast<LUAI_UACINT>(dim), static_cast<LUAI_UACINT>(n));
  }
  return dim < 0 ? dim + n : dim;
}

int size(lua_State* L) {
  const at::Tensor& tensor = check_tensor(L, 1);
  if (lua_isnoneornil(L, 2)) return push_list(L, tensor.sizes());
  lua_pushinteger(L, tensor.size(check_dim(L, 2, tensor)));
  return 1;
}

int stride(lua_State* L) {
  const at::Tensor& tensor = check_tensor(L, 1);
  if (lua_isnoneornil(L, 2)) return push_list(L, tensor.strides());
  lua_pushinteger(L, tensor.stride(check_dim(L, 2, tensor)));
  return 1;
}

int dim(lua_State* L) {
  lua_pushinteger(L, check_tensor(L, 1).dim());
  return 1;
}

int numel(lua_State* L) {
  lua_pushinteger(L, check_tensor(L, 1).numel());
  return 1;
}

int is_contiguous(lua_State* L) {
  const at::Tensor& tensor = check_tensor(L, 1);
  auto format = c10::MemoryFormat::Contiguous;
  if (!lua_isnoneornil(L, 2)) {
    const auto named = memory_format_from_name(luaL_checkstring(L, 2));
    if (!named) return luaL_error(L, "there is no memory format `%s`", lua_tostring(L, 2));
    format = *named;
  }
  lua_pushboolean(L, tensor.is_contiguous(format));
  return 1;
}

int is_floating_point(lua_State* L) {
  lua_pushboolean(L, check_tensor(L, 1).is_floating_point());
  return 1;
}

// Address of the first element, for telling storages apart.
int data_ptr(lua_State* L) {
  lua_pushinteger(L, reinterpret_cast<lua_Integer>(check_tensor(L, 1).const_data_ptr()));
  return 1;
}

struct Conversion {
  c10::Device device;
  c10::ScalarType dtype;
  bool non_blocking = false;
  bool copy = false;

  explicit Conversion(const at::Tensor& tensor)
      : device(tensor.device()), dtype(tensor.scalar_type()) {}
};

// A string names a dtype or else a device; a tensor lends both.
void read_target(lua_State* L, int index, Conversion& to) {
  if (const at::Tensor* other = test_tensor(L, index)) {
    to.device = other->device();
    to.dtype = other->scalar_type();
  } else if (auto type = dtype_from_name(luaL_checkstring(L, index))) {
    to.dtype = *type;
  } else {
    to.device = check_device(L, index);
  }
}

void read_named(lua_State* L, int table, Conversion& to) {
  lua_pushnil(L);
  while (lua_next(L, table)) {
    const std::string name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    const int value = lua_gettop(L);
    if (name == "dtype") {
      to.dtype = check_dtype(L, value);
    } else if (name == "device") {
      to.device = check_device(L, value);
    } else if (name == "non_blocking") {
      to.non_blocking = lua_toboolean(L, value);
    } else if (name == "copy") {
      to.copy = lua_toboolean(L, value);
    } else {
      luaL_error(L, "x:to has no argument `%s`; it takes device, dtype, non_blocking and copy",
                 luaL_tolstring(L, -2, nullptr));
    }
    lua_pop(L, 1);
  }
}

// x:to("cuda"), x:to("bfloat16"), x:to(other), x:to("cuda", "bfloat16"), x:to{device =, dtype =}.
int to(lua_State* L) {
  const at::Tensor& tensor = check_tensor(L, 1);
  Conversion target(tensor);
  for (int i = 2, n = lua_gettop(L); i <= n; ++i) {
    if (lua_istable(L, i)) {
      read_named(L, i, target);
    } else {
      read_target(L, i, target);
    }
  }
  push_tensor(L, tensor.to(target.device, target.dtype, target.non_blocking, target.copy));
  return 1;
}

template <c10::ScalarType Type>
int as_type(lua_State* L) {
  push_tensor(L, check_tensor(L, 1).to(Type));
  return 1;
}

int cpu(lua_State* L) {
  push_tensor(L, check_tensor(L, 1).cpu());
  return 1;
}

int cuda(lua_State* L) {
  push_tensor(L, check_tensor(L, 1).to(c10::Device(c10::kCUDA)));
  return 1;
}

// x:backward([grad], {retain_graph =, create_graph =, inputs =})
int backward(lua_State* L) {
  const at::Tensor& tensor = check_tensor(L, 1);
  const int top = lua_gettop(L);
  at::Tensor gradient;
  if (top >= 2 && !lua_isnil(L, 2) && !lua_istable(L, 2)) gradient = check_tensor(L, 2);
  std::optional<bool> retain_graph;
  bool create_graph = false;
  std::vector<at::Tensor> inputs;
  if (top >= 2 && lua_istable(L, top)) {
    if (lua_getfield(L, top, "retain_graph") != LUA_TNIL) retain_graph = lua_toboolean(L, -1);
    if (lua_getfield(L, top, "create_graph") != LUA_TNIL) create_graph = lua_toboolean(L, -1);
    if (lua_getfield(L, top, "inputs") == LUA_TTABLE) {
      for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; ++i) {
        inputs.push_back(check_tensor(L, lua_gettop(L)));
        lua_pop(L, 1);
      }
    }
  }
  if (!tensor.requires_grad()) {
    return luaL_error(L,
                      "backward: nothing that this tensor was computed from requires a gradient");
  }
  tensor._backward(inputs, gradient, retain_graph, create_graph);
  return 0;
}

}  // namespace

const luaL_Reg tensor_methods[] = {
    {"at", guard<tensor_at>},
    {"set_at", guard<tensor_set_at>},
    {"item", guard<tensor_item>},
    {"tolist", guard<tensor_to_list>},
    {"backward", guard<backward>},
    {"size", guard<size>},
    {"stride", guard<stride>},
    {"dim", guard<dim>},
    {"numel", guard<numel>},
    {"is_contiguous", guard<is_contiguous>},
    {"is_floating_point", guard<is_floating_point>},
    {"data_ptr", guard<data_ptr>},
    {"to", guard<to>},
    {"cpu", guard<cpu>},
    {"cuda", guard<cuda>},
    {"float", guard<as_type<c10::kFloat>>},
    {"double", guard<as_type<c10::kDouble>>},
    {"half", guard<as_type<c10::kHalf>>},
    {"bfloat16", guard<as_type<c10::kBFloat16>>},
    {"long", guard<as_type<c10::kLong>>},
    {"int", guard<as_type<c10::kInt>>},
    {"bool", guard<as_type<c10::kBool>>},
    {nullptr, nullptr},
};

}  // namespace gamut::script
