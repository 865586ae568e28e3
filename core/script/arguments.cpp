#include "script/arguments.h"

#include <ATen/ScalarOps.h>
#include <c10/core/Device.h>

#include "script/enums.h"
#include "script/tensor.h"

namespace gamut::script {
namespace {

std::string_view view_string(lua_State* L, int index) {
  size_t length = 0;
  const char* text = lua_tolstring(L, index, &length);
  return {text, length};
}

bool to_integer(lua_State* L, int index, int64_t& out) {
  if (lua_type(L, index) != LUA_TNUMBER) return false;
  int exact = 0;
  out = lua_tointegerx(L, index, &exact);  // a float with an integral value is one
  return exact;
}

bool to_scalar(lua_State* L, int index, c10::Scalar& out) {
  if (lua_type(L, index) == LUA_TBOOLEAN) {
    out = c10::Scalar(lua_toboolean(L, index) != 0);
  } else if (lua_isinteger(L, index)) {
    out = c10::Scalar(static_cast<int64_t>(lua_tointeger(L, index)));
  } else if (lua_type(L, index) == LUA_TNUMBER) {
    out = c10::Scalar(static_cast<double>(lua_tonumber(L, index)));
  } else {
    return false;
  }
  return true;
}

bool to_tensor(lua_State* L, int index, Fit fit, at::Tensor& out) {
  if (const at::Tensor* tensor = test_tensor(L, index)) {
    out = *tensor;
    return true;
  }
  c10::Scalar scalar;
  if (fit == Fit::strict || !to_scalar(L, index, scalar)) return false;
  out = at::native::wrapped_scalar_tensor(scalar);
  return true;
}

// Calls convert(element, value) on each entry of the list at `index`; elements are appended to
// `out`.
template <class T, class Convert>
bool to_list(lua_State* L, int index, std::vector<T>& out, Convert convert) {
  if (lua_type(L, index) != LUA_TTABLE) return false;
  index = lua_absindex(L, index);
  const auto n = static_cast<lua_Integer>(lua_rawlen(L, index));
  out.resize(n);
  for (lua_Integer i = 0; i < n; ++i) {
    lua_rawgeti(L, index, i + 1);
    T element{};
    const bool ok = convert(L, lua_gettop(L), element);
    lua_pop(L, 1);
    if (!ok) return false;
    out[i] = element;
  }
  if (n > 0) return true;
  lua_pushnil(L);  // an empty table is an empty list; a table of names is none
  if (!lua_next(L, index)) return true;
  lua_pop(L, 2);
  return false;
}

bool to_tensors(lua_State* L, int index, Fit fit, c10::IValue& out) {
  std::vector<at::Tensor> tensors;
  if (!to_list(L, index, tensors, [fit](lua_State* S, int i, at::Tensor& element) {
        return to_tensor(S, i, fit, element);
      })) {
    return false;
  }
  out = std::move(tensors);
  return true;
}

// As x[{0, nil, rows}] in effect; gaps need `false` in Lua, whose lists have no holes.
bool to_optional_tensors(lua_State* L, int index, c10::IValue& out) {
  std::vector<std::optional<at::Tensor>> tensors;
  if (!to_list(L, index, tensors, [](lua_State* S, int i, std::optional<at::Tensor>& element) {
        if (lua_type(S, i) == LUA_TBOOLEAN && !lua_toboolean(S, i)) return true;
        const at::Tensor* tensor = test_tensor(S, i);
        if (tensor) element = *tensor;
        return tensor != nullptr;
      })) {
    return false;
  }
  c10::List<std::optional<at::Tensor>> list;
  for (auto& tensor : tensors) list.push_back(tensor);
  out = std::move(list);
  return true;
}

bool to_integers(lua_State* L, int index, const Parameter& p, c10::IValue& out) {
  std::vector<int64_t> values;
  int64_t one = 0;
  if (p.broadcasts && to_integer(L, index, one)) {
    // LibTorch expands a list of one to the length that the operator wants.
    values.push_back(one);
  } else if (!to_list(L, index, values, to_integer)) {
    return false;
  }
  out = std::move(values);
  return true;
}

bool to_numbers(lua_State* L, int index, c10::IValue& out) {
  std::vector<double> values;
  if (!to_list(L, index, values, [](lua_State* S, int i, double& element) {
        element = lua_tonumber(S, i);
        return lua_type(S, i) == LUA_TNUMBER;
      })) {
    return false;
  }
  out = std::move(values);
  return true;
}

bool to_booleans(lua_State* L, int index, c10::IValue& out) {
  std::vector<char> values;
  if (!to_list(L, index, values, [](lua_State* S, int i, char& element) {
        element = static_cast<char>(lua_toboolean(S, i));
        return lua_type(S, i) == LUA_TBOOLEAN;
      })) {
    return false;
  }
  c10::List<bool> list;
  for (char value : values) list.push_back(value != 0);
  out = std::move(list);
  return true;
}

bool to_scalars(lua_State* L, int index, c10::IValue& out) {
  std::vector<c10::Scalar> values;
  if (!to_list(L, index, values, to_scalar)) return false;
  c10::List<c10::Scalar> list;
  for (const auto& value : values) list.push_back(value);
  out = c10::impl::toList(list);
  return true;
}

// Enumerations travel as integers, devices as themselves.
bool from_name(Kind kind, std::string_view name, c10::IValue& out) {
  switch (kind) {
    case Kind::dtype:
      if (auto type = dtype_from_name(name)) return out = static_cast<int64_t>(*type), true;
      return false;
    case Kind::layout:
      if (auto layout = layout_from_name(name)) return out = static_cast<int64_t>(*layout), true;
      return false;
    case Kind::memory_format:
      if (auto f = memory_format_from_name(name)) return out = static_cast<int64_t>(*f), true;
      return false;
    case Kind::device:
      try {
        out = c10::Device(std::string(name));
        return true;
      } catch (const c10::Error&) {
        return false;
      }
    case Kind::string:
      out = std::string(name);
      return true;
    default:
      return false;
  }
}

}  // namespace

bool convert_argument(lua_State* L, int index, const Parameter& p, Fit fit, c10::IValue& out) {
  const int type = lua_type(L, index);
  if (type == LUA_TNIL || type == LUA_TNONE) {
    if (p.optional) return out = c10::IValue(), true;
    if (p.has_default) return out = p.default_value, true;
    return false;
  }
  switch (p.kind) {
    case Kind::tensor: {
      at::Tensor tensor;
      if (!to_tensor(L, index, fit, tensor)) return false;
      out = std::move(tensor);
      return true;
    }
    case Kind::scalar: {
      c10::Scalar scalar;
      return to_scalar(L, index, scalar) && (out = scalar, true);
    }
    case Kind::integer: {
      int64_t value = 0;
      return to_integer(L, index, value) && (out = value, true);
    }
    case Kind::number:
      return type == LUA_TNUMBER && (out = static_cast<double>(lua_tonumber(L, index)), true);
    case Kind::boolean:
      return type == LUA_TBOOLEAN && (out = lua_toboolean(L, index) != 0, true);
    case Kind::dtype:
    case Kind::layout:
    case Kind::device:
    case Kind::memory_format:
    case Kind::string:
      return type == LUA_TSTRING && from_name(p.kind, view_string(L, index), out);
    case Kind::tensor_list:
      return to_tensors(L, index, fit, out);
    case Kind::optional_tensor_list:
      return to_optional_tensors(L, index, out);
    case Kind::integer_list:
      return to_integers(L, index, p, out);
    case Kind::number_list:
      return to_numbers(L, index, out);
    case Kind::boolean_list:
      return to_booleans(L, index, out);
    case Kind::scalar_list:
      return to_scalars(L, index, out);
    case Kind::generator:
      if (const auto* generator = test_generator(L, index)) return out = *generator, true;
      return false;
    case Kind::unsupported:
      return false;
  }
  return false;
}

c10::Device check_device(lua_State* L, int index) {
  return c10::Device(std::string(luaL_checkstring(L, index)));
}

c10::ScalarType check_dtype(lua_State* L, int index) {
  const char* name = luaL_checkstring(L, index);
  const auto type = dtype_from_name(name);
  if (!type) {
    const auto near = nearest_names(dtype_names(), name);
    const auto hint = near.empty() ? std::string() : c10::str("; did you mean `", near[0], "`?");
    luaL_error(L, "there is no dtype `%s`%s", name, hint.c_str());
  }
  return *type;
}

std::vector<int64_t> check_integers(lua_State* L, int index) {
  std::vector<int64_t> values;
  if (!to_list(L, index, values, to_integer)) {
    const auto text = "expected a list of integers, got " + describe_value(L, index);
    luaL_argerror(L, index, lua_pushstring(L, text.c_str()));
  }
  return values;
}

}  // namespace gamut::script
