#include "script/tensor_members.h"

#include "script/call.h"
#include "script/tensor.h"

namespace gamut::script {
namespace {

// Lua's metamethods and the operators that they are.
constexpr struct {
  const char* event;
  const char* op;
} kBinary[] = {
    {"__add", "add"},
    {"__sub", "sub"},
    {"__mul", "mul"},
    {"__div", "div"},
    {"__pow", "pow"},
    {"__mod", "remainder"},
    {"__idiv", "floor_divide"},
    {"__band", "bitwise_and"},
    {"__bor", "bitwise_or"},
    {"__bxor", "bitwise_xor"},
    {"__shl", "bitwise_left_shift"},
    {"__shr", "bitwise_right_shift"},
};

const Operator& aten(const char* name) {
  const Operator* op = find_operator("aten", name);
  if (!op) throw std::runtime_error(c10::str("this LibTorch has no operator `", name, "`"));
  return *op;
}

// Lua hands the operand of a unary operator over twice.
int negate(lua_State* L) {
  static const Operator& op = aten("neg");
  lua_settop(L, 1);
  return call_operator(L, op);
}

int invert(lua_State* L) {
  static const Operator& op = aten("bitwise_not");
  lua_settop(L, 1);
  return call_operator(L, op);
}

int compare(lua_State* L) {
  return luaL_error(
      L,
      "Lua turns the result of a comparison into one boolean, so tensors have methods "
      "for it: x:lt(y), x:le(y), x:gt(y), x:ge(y), x:eq(y), x:ne(y)");
}

int length(lua_State* L) {
  const at::Tensor& tensor = check_tensor(L, 1);
  if (tensor.dim() == 0) return luaL_error(L, "a tensor without dimensions has no length");
  lua_pushinteger(L, tensor.size(0));
  return 1;
}

int text(lua_State* L) {
  const std::string result = tensor_text(check_tensor(L, 1));
  lua_pushlstring(L, result.data(), result.size());
  return 1;
}

std::vector<std::string> member_names() {
  auto names = operator_names("aten");
  for (const auto& property : tensor_properties()) names.emplace_back(property.name);
  for (const auto* method = tensor_methods; method->name; ++method) {
    names.emplace_back(method->name);
  }
  return names;
}

int no_such_member(lua_State* L, const char* name) {
  const auto near = nearest_names(member_names(), name);
  const auto hint = near.empty() ? std::string() : c10::str("; did you mean `", near[0], "`?");
  return luaL_error(L, "a tensor has no method or property `%s`%s", name, hint.c_str());
}

// First use of an operator as a method. The member table then holds the function.
int find_method(lua_State* L) {
  const char* name = lua_tostring(L, 2);
  const Operator* op = name ? find_operator("aten", name) : nullptr;
  if (!op) return no_such_member(L, luaL_tolstring(L, 2, nullptr));
  push_operator(L, *op);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_rawset(L, lua_upvalueindex(1));
  return 1;
}

// The upvalue holds functions for methods and, for properties, their place in the table of those.
int index(lua_State* L) {
  lua_pushvalue(L, 2);
  switch (lua_rawget(L, lua_upvalueindex(1))) {
    case LUA_TFUNCTION:
      return 1;
    case LUA_TLIGHTUSERDATA: {
      const auto* property = static_cast<const TensorProperty*>(lua_touserdata(L, -1));
      return property->get(L, check_tensor(L, 1));
    }
    default:
      break;
  }
  lua_pop(L, 1);
  if (lua_isinteger(L, 2)) {
    push_tensor(L, check_tensor(L, 1).select(0, lua_tointeger(L, 2)));
    return 1;
  }
  return find_method(L);
}

int assign(lua_State* L) {
  const at::Tensor& tensor = check_tensor(L, 1);
  if (lua_isinteger(L, 2)) {
    lua_settop(L, 3);
    push_tensor(L, tensor.select(0, lua_tointeger(L, 2)));
    lua_insert(L, 3);
    static const Operator& copy = aten("copy_");
    call_operator(L, copy, 3);
    return 0;
  }
  const char* name = luaL_checkstring(L, 2);
  for (const auto& property : tensor_properties()) {
    if (std::string_view(property.name) != name) continue;
    if (!property.set) return luaL_error(L, "the property `%s` of a tensor cannot be set", name);
    property.set(L, tensor, 3);
    return 0;
  }
  return luaL_error(L, "a tensor has no property `%s` that can be set", name);
}

}  // namespace

void add_tensor_members(lua_State* L) {
  for (const auto& entry : kBinary) {
    push_operator(L, aten(entry.op));
    lua_setfield(L, -2, entry.event);
  }
  const luaL_Reg meta[] = {{"__unm", guard<negate>},      {"__bnot", guard<invert>},
                           {"__lt", guard<compare>},      {"__le", guard<compare>},
                           {"__len", guard<length>},      {"__tostring", guard<text>},
                           {"__newindex", guard<assign>}, {nullptr, nullptr}};
  luaL_setfuncs(L, meta, 0);

  lua_newtable(L);
  luaL_setfuncs(L, tensor_methods, 0);
  for (const auto& property : tensor_properties()) {
    lua_pushlightuserdata(L, const_cast<TensorProperty*>(&property));
    lua_setfield(L, -2, property.name);
  }
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "members");  // for completion and the stubs
  lua_pushcclosure(L, guard<index>, 1);
  lua_setfield(L, -2, "__index");
}

}  // namespace gamut::script
