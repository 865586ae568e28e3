// A plugin mixer as a Lua object; scripts/gamut/nn/mixer.lua makes a module of it.
#include <gamut/encoder_memory.h>
#include <gamut/weight_layouts.h>

#include "script/active_state.h"
#include "script/plugin_objects.h"
#include "script/tensor.h"
#include "script/userdata.h"

namespace gamut::script {

void push_mixer(lua_State* L, std::unique_ptr<Mixer> mixer) {
  push_object(L, MixerObject{std::move(mixer)}, 1);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
}

namespace {

// A misspelt key would be ignored silently, and leak documents or lose a state.
void refuse_unknown_keys(lua_State* L, int context) {
  lua_pushnil(L);
  while (lua_next(L, context)) {
    lua_pop(L, 1);
    const std::string key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "a number";
    GAMUT_CHECK(key == "positions" || key == "cu_seqlens" || key == "training" || key == "state" ||
                    key == "memory" || key == "memory_lengths",
                "the context of a mixer has positions, cu_seqlens, training, state, memory and "
                "memory_lengths, not `",
                key, "`");
  }
}

at::Tensor tensor_field(lua_State* L, int context, const char* name) {
  const int type = lua_getfield(L, context, name);
  const at::Tensor* tensor = test_tensor(L, -1);
  GAMUT_CHECK(type == LUA_TNIL || tensor, "context.", name, " must be a tensor, not ",
              describe_value(L, -1));
  at::Tensor result = tensor ? *tensor : at::Tensor();
  lua_pop(L, 1);
  return result;
}

MixerContext to_context(lua_State* L, int index, bool training) {
  MixerContext context;
  context.training = training;
  if (lua_isnoneornil(L, index)) return context;
  luaL_checktype(L, index, LUA_TTABLE);
  refuse_unknown_keys(L, index);
  context.positions = tensor_field(L, index, "positions");
  context.cu_seqlens = tensor_field(L, index, "cu_seqlens");
  if (lua_getfield(L, index, "training") != LUA_TNIL) context.training = lua_toboolean(L, -1);
  if (lua_getfield(L, index, "state") != LUA_TNIL) {
    auto* state = test_object<StateObject>(L, -1);
    GAMUT_CHECK(state, "context.state must come from new_state of this mixer, not ",
                describe_value(L, -1));
    context.state = &state->get();
  }
  return context;
}

EncoderMemory to_memory(lua_State* L, int index) {
  if (lua_isnoneornil(L, index)) return {};
  EncoderMemory memory = {tensor_field(L, index, "memory"),
                          tensor_field(L, index, "memory_lengths")};
  GAMUT_CHECK(memory.values.defined() || !memory.lengths.defined(),
              "context.memory_lengths belongs to a context.memory, which is missing");
  return memory;
}

// mixer:forward(x, context or nil, training) -> y; `training` counts unless the context says it.
int forward(lua_State* L) {
  Mixer& mixer = *check_object<MixerObject>(L, 1).mixer;
  const at::Tensor x = check_tensor(L, 2);
  lua_settop(L, 4);
  MixerContext context = to_context(L, 3, lua_toboolean(L, 4));
  const EncoderMemory memory = to_memory(L, 3);
  ActiveState active(L);
  // A context may go to all layers of a model, of which some read the memory.
  auto* reader = memory.values.defined() ? memory_reader_of(mixer) : nullptr;
  push_tensor(L,
              reader ? reader->forward_with_memory(x, memory, context) : mixer.forward(x, context));
  return 1;
}

int new_state(lua_State* L) {
  const Mixer& mixer = *check_object<MixerObject>(L, 1).mixer;
  const lua_Integer batch = luaL_checkinteger(L, 2);
  GAMUT_CHECK(batch > 0, "a state needs a positive number of rows, not ", batch);
  ActiveState active(L);
  push_state(L, mixer.new_state(batch));
  return 1;
}

void append_tensors(lua_State* L, const NamedTensors& tensors, const char* kind) {
  for (const auto& entry : tensors) {
    lua_createtable(L, 0, 3);
    lua_pushlstring(L, entry.name.data(), entry.name.size());
    lua_setfield(L, -2, "name");
    push_tensor(L, entry.tensor);
    lua_setfield(L, -2, "tensor");
    lua_pushstring(L, kind);
    lua_setfield(L, -2, "kind");
    lua_rawseti(L, -2, static_cast<lua_Integer>(lua_rawlen(L, -2) + 1));
  }
}

// mixer:tensors() -> list of {name=, tensor=, kind="parameter"|"buffer"}, as the plugin has them.
int tensors(lua_State* L) {
  const Mixer& mixer = *check_object<MixerObject>(L, 1).mixer;
  lua_newtable(L);
  append_tensors(L, mixer.parameters(), "parameter");
  append_tensors(L, mixer.buffers(), "buffer");
  return 1;
}

// mixer:import_weights(list of {name, tensor}) -> the mixer's own tensors, as such a list; nil when
// the names are its own, or it offers no "weights.import/1".
int import_weights(lua_State* L) {
  Mixer& mixer = *check_object<MixerObject>(L, 1).mixer;
  const auto given = to_named_tensors(L, 2, "the tensors to import");
  ActiveState active(L);
  const auto* import = static_cast<WeightImport*>(mixer.query(WeightImport::kId));
  const auto own = import ? import->import_weights(given) : std::nullopt;
  if (own) {
    push_named_tensors(L, *own);
  } else {
    lua_pushnil(L);
  }
  return 1;
}

// mixer:options() -> the checked options, with defaults.
int options(lua_State* L) {
  check_object<MixerObject>(L, 1);  // refuses other objects
  lua_getiuservalue(L, 1, 1);
  return 1;
}

}  // namespace

void open_mixer_class(lua_State* L) {
  const luaL_Reg metamethods[] = {{nullptr, nullptr}};
  const luaL_Reg methods[] = {
      {"forward", guard<forward>}, {"new_state", guard<new_state>},
      {"tensors", guard<tensors>}, {"import_weights", guard<import_weights>},
      {"options", guard<options>}, {nullptr, nullptr}};
  new_class<MixerObject>(L, metamethods, methods);
}

}  // namespace gamut::script
