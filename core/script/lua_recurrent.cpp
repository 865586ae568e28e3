// Calls from C++ into the parts of a recurrent mixer that a script wrote.
#include "script/lua_recurrent.h"

#include <algorithm>

#include "script/tensor.h"

namespace gamut::script {
namespace {

void push_tensors(lua_State* L, const NamedTensors& tensors) {
  lua_createtable(L, 0, static_cast<int>(tensors.size()));
  for (const auto& t : tensors) {
    push_tensor(L, t.tensor);
    lua_setfield(L, -2, t.name.c_str());
  }
}

// The table of tensors by name on top of the stack, in the order of names.
NamedTensors returned_tensors(lua_State* L, const char* what) {
  GAMUT_CHECK(lua_istable(L, -1), "its ", what, " returned ", describe_value(L, -1),
              " instead of a table of tensors by name");
  NamedTensors tensors;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    const at::Tensor* tensor = test_tensor(L, -1);
    GAMUT_CHECK(lua_type(L, -2) == LUA_TSTRING && tensor, "its ", what,
                " returned a table that holds ", describe_value(L, -1),
                "; right would be tensors by name");
    tensors.push_back({lua_tostring(L, -2), *tensor});
  }
  std::sort(tensors.begin(), tensors.end(),
            [](const NamedTensor& a, const NamedTensor& b) { return a.name < b.name; });
  return tensors;
}

}  // namespace

std::vector<std::string> LuaRecurrent::memory_names() const {
  lua_State* L = instance_.state();
  const StackGuard guard(L);
  instance_.push_method("memory_names");
  call(L, 1, 1);
  GAMUT_CHECK(lua_istable(L, -1) && lua_rawlen(L, -1) > 0, "its memory_names returned ",
              describe_value(L, -1), " instead of a list of names of tensors of its state");
  std::vector<std::string> names;
  for (size_t i = 1; i <= lua_rawlen(L, -1); ++i) {
    const int type = lua_rawgeti(L, -1, static_cast<lua_Integer>(i));
    GAMUT_CHECK(type == LUA_TSTRING, "its memory_names holds ", describe_value(L, -1),
                "; right would be names of tensors of its state");
    names.emplace_back(lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  return names;
}

void LuaRecurrent::push_memory(lua_State* L, const Memory& memory) const {
  const auto names = memory_names();
  NamedTensors named;
  for (size_t i = 0; i < names.size(); ++i) named.push_back({names[i], memory[i]});
  push_tensors(L, named);
}

NamedTensors LuaRecurrent::project(const at::Tensor& x, MixerContext& context) {
  lua_State* L = instance_.state();
  const StackGuard guard(L);
  const LentContext lent(L, context);
  instance_.push_method("project");
  push_tensor(L, x);
  lent.push();
  call(L, 3, 1);
  return returned_tensors(L, "project");
}

Recurrent::Scan LuaRecurrent::scan(const NamedTensors& features, const Memory& memory,
                                   const at::Tensor& cu_seqlens) {
  lua_State* L = instance_.state();
  const StackGuard guard(L);
  instance_.push_method("scan");
  push_tensors(L, features);
  push_memory(L, memory);
  push_tensor(L, cu_seqlens);
  call(L, 4, 2);
  const auto after = returned_tensors(L, "scan, as its second result,");
  lua_pop(L, 1);
  Scan result;
  result.read = returned_tensor(L, "scan");
  for (const auto& name : memory_names()) result.memory.push_back(feature(after, name));
  return result;
}

at::Tensor LuaRecurrent::read(const NamedTensors& features, const Memory& memories) {
  lua_State* L = instance_.state();
  const StackGuard guard(L);
  instance_.push_method("read");
  push_tensors(L, features);
  push_memory(L, memories);
  call(L, 3, 1);
  return returned_tensor(L, "read");
}

bool LuaRecurrent::reads_linearly() const {
  if (!instance_.has_method("reads_linearly")) return true;
  lua_State* L = instance_.state();
  const StackGuard guard(L);
  instance_.push_method("reads_linearly");
  call(L, 1, 1);
  return lua_toboolean(L, -1) != 0;
}

at::Tensor LuaRecurrent::normalize(const at::Tensor& read) {
  if (!instance_.has_method("normalize")) return read;
  lua_State* L = instance_.state();
  const StackGuard guard(L);
  instance_.push_method("normalize");
  push_tensor(L, read);
  call(L, 2, 1);
  return returned_tensor(L, "normalize");
}

at::Tensor LuaRecurrent::of_features(const char* method, const NamedTensors& features) {
  GAMUT_CHECK(instance_.has_method(method), "it has no method `", method, "`");
  lua_State* L = instance_.state();
  const StackGuard guard(L);
  instance_.push_method(method);
  push_tensors(L, features);
  call(L, 2, 1);
  return returned_tensor(L, method);
}

at::Tensor LuaRecurrent::queries(const NamedTensors& features) {
  return of_features("queries", features);
}

at::Tensor LuaRecurrent::keys(const NamedTensors& features) {
  return of_features("keys", features);
}

at::Tensor LuaRecurrent::finish(const at::Tensor& read, const NamedTensors& features,
                                MixerContext& context) {
  lua_State* L = instance_.state();
  const StackGuard guard(L);
  const LentContext lent(L, context);
  instance_.push_method("finish");
  push_tensor(L, read);
  push_tensors(L, features);
  lent.push();
  call(L, 4, 1);
  return returned_tensor(L, "finish");
}

}  // namespace gamut::script
