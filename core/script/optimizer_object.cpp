// An optimizer as a Lua object: `optimizer:step()`, `optimizer.groups[1].lr = 1e-3`.
#include <gamut/capturable.h>

#include "plugin_host/options_check.h"
#include "script/option_values.h"
#include "script/plugin_objects.h"
#include "script/tensor.h"
#include "script/userdata.h"

namespace gamut::script {
namespace {

// One group; keeps its optimizer alive as its user value.
struct GroupObject {
  static constexpr const char* kName = "gamut.OptimizerGroup";
  OptimizerObject* optimizer;
  size_t position;

  ParameterGroup& get() const { return optimizer->optimizer->groups()[position]; }
  std::string text() const {
    return c10::str("group ", position + 1, " of optimizer `", optimizer->name, "`");
  }
};

// Throws for an option that the optimizer does not have, naming the nearest.
const OptionSpec& spec_of(const GroupObject& group, const std::string& name) {
  for (const auto& spec : group.optimizer->table) {
    if (spec.name == name) return spec;
  }
  host::check_options(group.optimizer->table, {{name, OptionValue(true)}}, group.text(),
                      host::Missing::allowed);
  throw Error(group.text() + " has no option `" + name + "`");
}

// group.params -> list of {name, tensor}; group.NAME -> value of an option, nil when not set.
int group_index(lua_State* L) {
  const auto& group = check_object<GroupObject>(L, 1);
  const std::string name = luaL_checkstring(L, 2);
  if (name == "params") {
    push_named_tensors(L, group.get().parameters);
    return 1;
  }
  spec_of(group, name);
  const auto& values = group.get().options.values();
  const auto found = values.find(name);
  if (found == values.end()) {
    lua_pushnil(L);
  } else {
    push_option_value(L, found->second);
  }
  return 1;
}

// group.NAME = value, checked against the plugin's table.
int group_new_index(lua_State* L) {
  const auto& group = check_object<GroupObject>(L, 1);
  const std::string name = luaL_checkstring(L, 2);
  GAMUT_CHECK(name != "params", "the parameters of ", group.text(), " cannot be replaced");
  const OptionSpec& spec = spec_of(group, name);
  const OptionValue value = to_option_value(L, 3, name, group.text());
  group.get().options.set(name, host::check_option(spec, value, group.text()));
  return 0;
}

// The list behind optimizer.groups, made once.
int push_groups(lua_State* L) {
  auto& object = check_object<OptimizerObject>(L, 1);
  const size_t count = object.optimizer->groups().size();
  lua_createtable(L, static_cast<int>(count), 0);
  for (size_t i = 0; i < count; ++i) {
    push_object(L, GroupObject{&object, i}, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    lua_rawseti(L, -2, static_cast<lua_Integer>(i + 1));
  }
  return 1;
}

// optimizer:step().
int step(lua_State* L) {
  check_object<OptimizerObject>(L, 1).optimizer->step();
  return 0;
}

Capturable& check_capturable(lua_State* L) {
  auto& object = check_object<OptimizerObject>(L, 1);
  Capturable* found = capturable(*object.optimizer);
  GAMUT_CHECK(found, "optimizer `", object.name, "` does not offer ", Capturable::kId,
              ": its step cannot be recorded");
  return *found;
}

// optimizer:live_options() -> names of the options that prepare_step passes on to a recorded step,
// or nil where the optimizer's step cannot be recorded. See gamut/capturable.h.
int live_options(lua_State* L) {
  const Capturable* found = capturable(*check_object<OptimizerObject>(L, 1).optimizer);
  if (!found) {
    lua_pushnil(L);
    return 1;
  }
  const auto names = found->live_options();
  lua_createtable(L, static_cast<int>(names.size()), 0);
  for (size_t i = 0; i < names.size(); ++i) {
    lua_pushlstring(L, names[i].data(), names[i].size());
    lua_rawseti(L, -2, static_cast<lua_Integer>(i + 1));
  }
  return 1;
}

// optimizer:prepare_step(), then optimizer:step_on_device(): a step in the two parts of
// gamut/capturable.h.
int prepare_step(lua_State* L) {
  check_capturable(L).prepare_step();
  return 0;
}

int step_on_device(lua_State* L) {
  check_capturable(L).step_on_device();
  return 0;
}

// optimizer:zero_grad(): gradients of all groups become none.
int zero_grad(lua_State* L) {
  for (auto& group : check_object<OptimizerObject>(L, 1).optimizer->groups()) {
    for (auto& parameter : group.parameters) parameter.tensor.mutable_grad().reset();
  }
  return 0;
}

// optimizer:state() -> list of {name, tensor}.
int state(lua_State* L) {
  push_named_tensors(L, check_object<OptimizerObject>(L, 1).optimizer->state());
  return 1;
}

// optimizer:load_state(list).
int load_state(lua_State* L) {
  auto& object = check_object<OptimizerObject>(L, 1);
  object.optimizer->load_state(
      to_named_tensors(L, 2, "the state of optimizer `" + object.name + "`"));
  return 0;
}

// optimizer.groups, optimizer.name, optimizer:method().
int index(lua_State* L) {
  auto& object = check_object<OptimizerObject>(L, 1);
  const std::string key = luaL_checkstring(L, 2);
  if (key == "groups") {
    lua_getiuservalue(L, 1, 1);
  } else if (key == "name") {
    lua_pushlstring(L, object.name.data(), object.name.size());
  } else if (!push_method<OptimizerObject>(L, 2)) {
    throw Error("an optimizer has no `" + key +
                "`; it has step, zero_grad, state, load_state, groups, name, live_options, "
                "prepare_step and step_on_device");
  }
  return 1;
}

}  // namespace

void push_optimizer(lua_State* L, std::unique_ptr<Optimizer> optimizer, std::string name,
                    OptionTable table) {
  push_object(L, OptimizerObject{std::move(optimizer), std::move(name), std::move(table)}, 1);
  lua_pushcfunction(L, guard<push_groups>);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1);
  lua_setiuservalue(L, -2, 1);
}

void open_optimizer_class(lua_State* L) {
  const luaL_Reg metamethods[] = {{"__index", guard<index>}, {nullptr, nullptr}};
  const luaL_Reg methods[] = {{"step", guard<step>},
                              {"live_options", guard<live_options>},
                              {"prepare_step", guard<prepare_step>},
                              {"step_on_device", guard<step_on_device>},
                              {"zero_grad", guard<zero_grad>},
                              {"state", guard<state>},
                              {"load_state", guard<load_state>},
                              {nullptr, nullptr}};
  new_class<OptimizerObject>(L, metamethods, methods);
  const luaL_Reg group_metamethods[] = {
      {"__index", guard<group_index>}, {"__newindex", guard<group_new_index>}, {nullptr, nullptr}};
  const luaL_Reg none[] = {{nullptr, nullptr}};
  new_class<GroupObject>(L, group_metamethods, none);
}

}  // namespace gamut::script
