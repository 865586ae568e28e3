// What the objects of plugins share: named tensors.
#include "script/plugin_objects.h"

#include "script/tensor.h"

namespace gamut::script {
void push_named_tensors(lua_State* L, const NamedTensors& tensors) {
  lua_createtable(L, static_cast<int>(tensors.size()), 0);
  for (size_t i = 0; i < tensors.size(); ++i) {
    lua_createtable(L, 2, 2);
    lua_pushlstring(L, tensors[i].name.data(), tensors[i].name.size());
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "name");
    lua_rawseti(L, -2, 1);
    push_tensor(L, tensors[i].tensor);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "tensor");
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, static_cast<lua_Integer>(i + 1));
  }
}

NamedTensors to_named_tensors(lua_State* L, int index, const std::string& context) {
  GAMUT_CHECK(lua_type(L, index) == LUA_TTABLE, context, " must be a list of {name, tensor}, not ",
              describe_value(L, index));
  index = lua_absindex(L, index);
  NamedTensors tensors;
  for (size_t i = 1; i <= lua_rawlen(L, index); ++i) {
    lua_rawgeti(L, index, static_cast<lua_Integer>(i));
    GAMUT_CHECK(lua_type(L, -1) == LUA_TTABLE, "item ", i, " of ", context,
                " must be {name, tensor}, not ", describe_value(L, -1));
    const int entry = lua_gettop(L);
    if (lua_rawgeti(L, entry, 1) == LUA_TNIL) {  // by name instead
      lua_pop(L, 1);
      lua_getfield(L, entry, "name");
      lua_getfield(L, entry, "tensor");
    } else {
      lua_rawgeti(L, entry, 2);
    }
    const at::Tensor* tensor = test_tensor(L, -1);
    GAMUT_CHECK(lua_type(L, -2) == LUA_TSTRING && tensor, "item ", i, " of ", context,
                " must be {name, tensor}, not {", describe_value(L, -2), ", ",
                describe_value(L, -1), "}");
    tensors.push_back({lua_tostring(L, -2), *tensor});
    lua_pop(L, 3);
  }
  return tensors;
}

}  // namespace gamut::script
