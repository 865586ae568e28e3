// The fields of a tensor: x.shape, x.dtype, x.grad and so on.
#include <ATen/core/grad_mode.h>

#include "script/enums.h"
#include "script/tensor.h"
#include "script/tensor_members.h"

namespace gamut::script {
int push_list(lua_State* L, at::IntArrayRef values) {
  lua_createtable(L, static_cast<int>(values.size()), 0);
  for (size_t i = 0; i < values.size(); ++i) {
    lua_pushinteger(L, values[i]);
    lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
  }
  return 1;
}

namespace {

int shape(lua_State* L, const at::Tensor& t) {
  return push_list(L, t.sizes());
}

int dtype(lua_State* L, const at::Tensor& t) {
  lua_pushstring(L, dtype_name(t.scalar_type()));
  return 1;
}

int device(lua_State* L, const at::Tensor& t) {
  lua_pushstring(L, t.device().str().c_str());
  return 1;
}

int layout(lua_State* L, const at::Tensor& t) {
  lua_pushstring(L, layout_name(t.layout()));
  return 1;
}

int ndim(lua_State* L, const at::Tensor& t) {
  lua_pushinteger(L, t.dim());
  return 1;
}

int nbytes(lua_State* L, const at::Tensor& t) {
  lua_pushinteger(L, static_cast<lua_Integer>(t.nbytes()));
  return 1;
}

int itemsize(lua_State* L, const at::Tensor& t) {
  lua_pushinteger(L, static_cast<lua_Integer>(t.itemsize()));
  return 1;
}

int is_leaf(lua_State* L, const at::Tensor& t) {
  lua_pushboolean(L, t.is_leaf());
  return 1;
}

int is_cuda(lua_State* L, const at::Tensor& t) {
  lua_pushboolean(L, t.is_cuda());
  return 1;
}

int requires_grad(lua_State* L, const at::Tensor& t) {
  lua_pushboolean(L, t.requires_grad());
  return 1;
}

void set_requires_grad(lua_State* L, const at::Tensor& t, int value) {
  luaL_checktype(L, value, LUA_TBOOLEAN);
  const bool wanted = lua_toboolean(L, value);
  if (!wanted && !t.is_leaf()) {
    luaL_error(L,
               "only a leaf can stop requiring a gradient; use x:detach() for a computed tensor");
  }
  t.set_requires_grad(wanted);
}

int grad(lua_State* L, const at::Tensor& t) {
  push_tensor(L, t.grad());
  return 1;
}

void set_grad(lua_State* L, const at::Tensor& t, int value) {
  if (lua_isnil(L, value)) {
    t.mutable_grad().reset();
    return;
  }
  const at::Tensor& given = check_tensor(L, value);
  if (given.sizes() != t.sizes() || given.device() != t.device()) {
    luaL_error(
        L, "a gradient must have its tensor's shape and device: expected a %s on %s, got a %s",
        c10::str(t.sizes()).c_str(), t.device().str().c_str(), describe_value(L, value).c_str());
  }
  t.mutable_grad() = given;
}

int data(lua_State* L, const at::Tensor& t) {
  push_tensor(L, t.variable_data());
  return 1;
}

int transposed(lua_State* L, const at::Tensor& t) {
  push_tensor(L, t.mT());
  return 1;
}

}  // namespace

const std::vector<TensorProperty>& tensor_properties() {
  static const std::vector<TensorProperty> properties = {
      {"shape", shape, nullptr, "integer[]", "Size of every dimension."},
      {"dtype", dtype, nullptr, "dtype", "Type of the elements."},
      {"device", device, nullptr, "string", "Where the elements are: \"cpu\", \"cuda:0\"."},
      {"layout", layout, nullptr, "string", "How they lie in memory: \"strided\" mostly."},
      {"ndim", ndim, nullptr, "integer", "Number of dimensions."},
      {"nbytes", nbytes, nullptr, "integer", "Bytes of all elements."},
      {"itemsize", itemsize, nullptr, "integer", "Bytes of one element."},
      {"is_leaf", is_leaf, nullptr, "boolean", "Whether autograd did not compute it."},
      {"is_cuda", is_cuda, nullptr, "boolean", "Whether it is on a CUDA device."},
      {"requires_grad", requires_grad, set_requires_grad, "boolean",
       "Whether autograd follows it."},
      {"grad", grad, set_grad, "Tensor?", "Gradient that x:backward() left; nil when none."},
      {"data", data, nullptr, "Tensor", "The same elements, unknown to autograd."},
      {"mT", transposed, nullptr, "Tensor", "Last two dimensions exchanged."},
  };
  return properties;
}

}  // namespace gamut::script
