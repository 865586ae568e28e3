#include "script/call.h"

#include <ATen/ScalarOps.h>
#include <ATen/core/stack.h>

#include "script/arguments.h"
#include "script/enums.h"
#include "script/scope.h"
#include "script/signals.h"
#include "script/tensor.h"

namespace gamut::script {
namespace {

using Stack = std::vector<c10::IValue>;

// The arguments as they lie on Lua's stack.
struct Passed {
  int first = 1;
  int count = 0;  // by position
  int names = 0;  // index of the table of named arguments, or 0
  int named = 0;  // entries of that table
  bool has_out = false;
  bool requires_grad = false;  // named, and true; no schema has it, but every factory takes it
};

// A trailing table with a string key holds named arguments; any other table is a list.
Passed sort_arguments(lua_State* L, int first) {
  Passed passed;
  const int top = lua_gettop(L);
  passed.first = first;
  passed.count = top - first + 1;
  if (passed.count <= 0 || lua_type(L, top) != LUA_TTABLE) return passed;
  int entries = 0;
  lua_pushnil(L);
  while (lua_next(L, top)) {
    ++entries;
    if (lua_type(L, -2) == LUA_TSTRING) {
      const std::string_view name = lua_tostring(L, -2);
      ++passed.named;
      passed.has_out = passed.has_out || name == "out";
      passed.requires_grad =
          passed.requires_grad || (name == "requires_grad" && lua_toboolean(L, -1));
    }
    lua_pop(L, 1);
  }
  if (passed.named > 0 && entries > passed.named) {
    luaL_error(L, "a table of named arguments must not hold positional ones too");
  }
  if (passed.named > 0) {
    passed.names = top;
    --passed.count;
  }
  return passed;
}

// x:view(2, 3) and x:view{2, 3} mean the same.
bool collect_integers(lua_State* L, const Passed& passed, size_t at, c10::IValue& out) {
  std::vector<int64_t> values;
  for (int i = static_cast<int>(at); i < passed.count; ++i) {
    int exact = 0;
    values.push_back(lua_tointegerx(L, passed.first + i, &exact));
    if (!exact || lua_type(L, passed.first + i) != LUA_TNUMBER) return false;
  }
  out = std::move(values);
  return true;
}

// A number where a tensor is wanted becomes one without dimensions that leaves the result's dtype
// to the other operand. When that computes in float32 or float64 we make it of that dtype at once:
// the same number, and LibTorch need not cast, which costs it more than the operation.
at::Tensor wrap_number(lua_State* L, int index, const Passed& passed) {
  const c10::Scalar number = lua_isinteger(L, index)
                                 ? c10::Scalar(static_cast<int64_t>(lua_tointeger(L, index)))
                                 : c10::Scalar(static_cast<double>(lua_tonumber(L, index)));
  const int other = index == passed.first ? index + 1 : passed.first;
  const TensorBox* box = passed.count > 1 ? tensor_box(L, other) : nullptr;
  if (!box || !box->tensor.defined()) return at::native::wrapped_scalar_tensor(number);
  const auto type = box->tensor.scalar_type();
  if (type != c10::kFloat && type != c10::kDouble) return at::native::wrapped_scalar_tensor(number);
  at::Tensor wrapped = at::detail::scalar_tensor_static(number, type, c10::Device(c10::kCPU));
  wrapped.unsafeGetTensorImpl()->set_wrapped_number(true);
  return wrapped;
}

bool convert_passed(lua_State* L, int index, const Passed& passed, const Parameter& p, Fit fit,
                    c10::IValue& out) {
  if (p.kind == Kind::tensor && lua_type(L, index) == LUA_TNUMBER) {
    if (!p.takes_number && fit == Fit::strict) return false;
    out = wrap_number(L, index, passed);
    return true;
  }
  return convert_argument(L, index, p, fit, out);
}

// Pushes the value that was passed as `name`; nil when none was.
bool push_named(lua_State* L, const Passed& passed, const std::string& name) {
  if (!passed.names) return lua_pushnil(L), false;
  lua_pushlstring(L, name.data(), name.size());
  return lua_rawget(L, passed.names) != LUA_TNIL;
}

// `out = x`, `out = {values, indices}` or each output by its own name.
bool push_output(lua_State* L, const Passed& passed, const Overload& overload, size_t nth,
                 const std::string& name, int& used) {
  if (push_named(L, passed, name)) return ++used, true;
  lua_pop(L, 1);
  if (!push_named(L, passed, "out")) return false;
  if (nth == 0) ++used;
  if (lua_type(L, -1) != LUA_TTABLE) return overload.outputs == 1;
  lua_rawgeti(L, -1, static_cast<lua_Integer>(nth) + 1);
  lua_remove(L, -2);
  return true;
}

bool fill_absent(lua_State* L, const Overload& overload, const Passed& passed, const Parameter& p,
                 Fit fit, size_t& outputs, int& used, c10::IValue& out) {
  bool found = false;
  if (p.is_out) {
    found = push_output(L, passed, overload, outputs++, p.name, used);
  } else {
    found = push_named(L, passed, p.name);
    used += found;
  }
  bool ok = false;
  if (found) {
    ok = convert_argument(L, lua_gettop(L), p, fit, out);
  } else if (p.has_default) {
    out = p.default_value;
    ok = true;
  } else {
    ok = p.optional && fit == Fit::loose;
  }
  lua_pop(L, 1);
  return ok;
}

// Builds the operator's stack; false when the overload does not fit.
bool fill(lua_State* L, const Overload& overload, const Passed& passed, Fit fit, Stack& stack) {
  const auto count = static_cast<size_t>(passed.count);
  const auto& parameters = overload.parameters;
  const bool collects =
      overload.collects_ints && count >= overload.positional &&
      lua_type(L, passed.first + static_cast<int>(overload.positional) - 1) == LUA_TNUMBER;
  if (count > overload.positional && !collects) return false;
  stack.clear();
  stack.resize(parameters.size());
  int used = overload.makes_tensors && passed.names && push_named(L, passed, "requires_grad");
  if (overload.makes_tensors && passed.names) lua_pop(L, 1);
  size_t outputs = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    bool ok = false;
    if (i < count && i < overload.positional) {
      ok = collects && i + 1 == overload.positional
               ? collect_integers(L, passed, i, stack[i])
               : convert_passed(L, passed.first + static_cast<int>(i), passed, p, fit, stack[i]);
    } else if (!passed.names && p.has_default) {
      stack[i] = p.default_value;
      ok = true;
    } else {
      ok = fill_absent(L, overload, passed, p, fit, outputs, used, stack[i]);
    }
    if (!ok) return false;
  }
  return used == passed.named;
}

const Overload* choose(lua_State* L, const Operator& op, const Passed& passed, Stack& stack) {
  const auto& list = passed.has_out ? op.out_overloads : op.overloads;
  for (const Fit fit : {Fit::strict, Fit::loose}) {
    for (const auto& overload : list) {
      if (fill(L, overload, passed, fit, stack)) return &overload;
    }
  }
  return nullptr;
}

void push_scalar(lua_State* L, const c10::Scalar& value) {
  if (value.isBoolean()) return lua_pushboolean(L, value.toBool());
  if (value.isIntegral(false)) return lua_pushinteger(L, value.toLong());
  lua_pushnumber(L, value.toDouble());
}

void push_value(lua_State* L, const c10::IValue& value, const Result& result) {
  if (value.isTensor()) return push_tensor(L, value.toTensor());
  if (result.is_dtype && value.isInt()) {
    lua_pushstring(L, dtype_name(static_cast<c10::ScalarType>(value.toInt())));
    return;
  }
  if (value.isScalar()) return push_scalar(L, value.toScalar());
  if (value.isSymInt()) return lua_pushinteger(L, value.toSymInt().expect_int());
  if (value.isString()) {
    lua_pushstring(L, value.toStringRef().c_str());
    return;
  }
  if (value.isNone()) return lua_pushnil(L);
  if (value.isList()) {
    const auto list = value.toListRef();
    lua_createtable(L, static_cast<int>(list.size()), 0);
    for (size_t i = 0; i < list.size(); ++i) {
      push_value(L, list[i], result);
      lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
    }
    return;
  }
  luaL_error(L, "an operator returned a %s, which has no form in Lua", value.tagKind().c_str());
}

// An in-place operator returns its argument: the same Lua value, not another handle to it.
bool push_argument(lua_State* L, const at::Tensor& tensor, int first, int last) {
  for (int i = first; i <= last; ++i) {
    const at::Tensor* passed = test_tensor(L, i);
    if (passed && passed->is_same(tensor)) return lua_pushvalue(L, i), true;
  }
  return false;
}

int push_results(lua_State* L, const Overload& overload, const Passed& passed, Stack& stack) {
  const int n = static_cast<int>(stack.size());
  const int last = passed.first + passed.count - 1;
  luaL_checkstack(L, n + 4, "too many results");
  for (int i = 0; i < n; ++i) {
    c10::IValue& value = stack[i];
    const Result& result = overload.results[i];
    if (value.isTensor()) {
      if (result.aliases_argument && push_argument(L, value.toTensor(), passed.first, last)) {
        continue;
      }
      push_tensor(L, std::move(value).toTensor());
    } else {
      push_value(L, value, result);
    }
  }
  return n;
}

// The operator's own complaint, with what it was given; empty when it ran.
std::string run(lua_State* L, const Operator& op, const Overload& overload, const Passed& passed,
                Stack& stack) {
  std::string message;
  try {
    overload.op.callBoxed(stack);
    return message;
  } catch (const std::exception& error) {
    message = message_of(error);
  }
  for (const auto& prefix : {op.name + "(): ", op.name + ": "}) {
    if (message.compare(0, prefix.size(), prefix) == 0) message.erase(0, prefix.size());
  }
  return c10::str(op.name, ": ", message, "\n  called as ", op.name,
                  describe_arguments(L, passed.first));
}

int call_upvalue(lua_State* L) {
  return call_operator(L, *static_cast<const Operator*>(lua_touserdata(L, lua_upvalueindex(1))));
}

}  // namespace

int call_operator(lua_State* L, const Operator& op, int first) {
  const Passed passed = sort_arguments(L, first);
  Stack stack;
  const Overload* overload = choose(L, op, passed, stack);
  if (!overload) return luaL_error(L, "%s", mismatch_message(L, op, first).c_str());
  const std::string complaint = run(L, op, *overload, passed, stack);
  if (!complaint.empty()) return luaL_error(L, "%s", complaint.c_str());
  raise_if_interrupted(L);
  if (passed.requires_grad && overload->makes_tensors) {
    for (auto& value : stack) value.toTensor().set_requires_grad(true);
  }
  return push_results(L, *overload, passed, stack);
}

void push_operator(lua_State* L, const Operator& op) {
  lua_pushlightuserdata(L, const_cast<Operator*>(&op));
  lua_pushcclosure(L, guard<call_upvalue>, 1);
}

const Operator* operator_of(lua_State* L, int index) {
  if (lua_tocfunction(L, index) != guard<call_upvalue>) return nullptr;
  lua_getupvalue(L, index, 1);
  const auto* op = static_cast<const Operator*>(lua_touserdata(L, -1));
  lua_pop(L, 1);
  return op;
}

}  // namespace gamut::script
