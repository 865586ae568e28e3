// gamut.native.safetensors and gamut.native.checkpoint. Tensors go in as a list of {name, tensor}
// or as a table by name, and come out as both in one: `loaded[1]` is {name, tensor}, `loaded.wte`
// the tensor of that name.
#include <gamut/error.h>

#include <unordered_map>

#include "checkpoint/checkpoint.h"
#include "checkpoint/weights_op.h"
#include "script/json.h"
#include "script/table_fields.h"
#include "script/tensor.h"

namespace gamut::script {
namespace {

using checkpoint::Loading;
using checkpoint::Metadata;

const at::Tensor& tensor_on_top(lua_State* L, const std::string& what) {
  GAMUT_CHECK(is_tensor(L, -1), what, " must be a tensor, got a ", luaL_typename(L, -1));
  return check_tensor(L, -1);
}

// An element {name, tensor} on top of the stack.
NamedTensor pair_on_top(lua_State* L, const std::string& what) {
  GAMUT_CHECK(lua_istable(L, -1), what, " must be {name, tensor}, got a ", luaL_typename(L, -1));
  const bool named = lua_rawgeti(L, -1, 1) == LUA_TSTRING;
  GAMUT_CHECK(named, what, " must be {name, tensor}, and its name is a ", luaL_typename(L, -1));
  size_t size = 0;
  const char* text = lua_tolstring(L, -1, &size);
  NamedTensor pair{{text, size}, {}};
  lua_rawgeti(L, -2, 2);
  pair.tensor = tensor_on_top(L, c10::str(what, ", `", pair.name, "`,"));
  lua_pop(L, 2);
  return pair;
}

// What load returns has every tensor by position and by name; a change of one only would be lost.
void check_names_agree(lua_State* L, int index, const NamedTensors& tensors,
                       const std::string& what) {
  std::unordered_map<std::string, const at::Tensor*> by_name;
  for (const auto& entry : tensors) by_name[entry.name] = &entry.tensor;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    size_t size = 0;
    const char* text = lua_tolstring(L, -2, &size);
    const std::string name(text, size);
    const at::Tensor& tensor = tensor_on_top(L, c10::str(what, ".", name));
    const auto found = by_name.find(name);
    GAMUT_CHECK(found != by_name.end() && found->second->is_same(tensor), what, ".", name,
                " is another tensor than the list part holds under that ",
                "name; pass either a list or a table by name");
  }
}

NamedTensors tensors_at(lua_State* L, int index, const std::string& what) {
  GAMUT_CHECK(lua_istable(L, index), what,
              " must be a list of {name, tensor} or a table of tensors, got a ",
              luaL_typename(L, index));
  index = lua_absindex(L, index);
  NamedTensors tensors;
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, index));
  for (lua_Integer i = 1; i <= count; ++i, lua_pop(L, 1)) {
    lua_rawgeti(L, index, i);
    tensors.push_back(pair_on_top(L, c10::str(what, "[", i, "]")));
  }
  if (count > 0) {
    check_names_agree(L, index, tensors, what);
    return tensors;
  }
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    GAMUT_CHECK(lua_type(L, -2) == LUA_TSTRING, what, " has a key that is no name");
    const std::string name = lua_tostring(L, -2);
    tensors.push_back({name, tensor_on_top(L, c10::str(what, ".", name))});
  }
  return tensors;
}

void push_tensors(lua_State* L, const NamedTensors& tensors) {
  lua_createtable(L, static_cast<int>(tensors.size()), static_cast<int>(tensors.size()));
  lua_Integer index = 0;
  for (const auto& [name, tensor] : tensors) {
    lua_createtable(L, 2, 0);
    lua_pushlstring(L, name.data(), name.size());
    lua_rawseti(L, -2, 1);
    push_tensor(L, tensor);
    lua_pushlstring(L, name.data(), name.size());
    lua_pushvalue(L, -2);
    lua_rawset(L, -5);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, ++index);
  }
}

Metadata metadata_at(lua_State* L, int index) {
  Metadata metadata;
  if (lua_isnoneornil(L, index)) return metadata;
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    const bool strings = lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING;
    GAMUT_CHECK(strings,
                "the metadata of a safetensors file is strings by name; encode other values first");
    metadata[lua_tostring(L, -2)] = lua_tostring(L, -1);
  }
  return metadata;
}

void push_metadata(lua_State* L, const Metadata& metadata) {
  lua_createtable(L, 0, static_cast<int>(metadata.size()));
  for (const auto& [key, value] : metadata) {
    lua_pushlstring(L, value.data(), value.size());
    lua_setfield(L, -2, key.c_str());
  }
}

void push_strings(lua_State* L, const std::vector<std::string>& strings) {
  lua_createtable(L, static_cast<int>(strings.size()), 0);
  for (size_t i = 0; i < strings.size(); ++i) {
    lua_pushlstring(L, strings[i].data(), strings[i].size());
    lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
  }
}

// safetensors.save(path, tensors, metadata)
int save_tensors(lua_State* L) {
  const std::string path = luaL_checkstring(L, 1);
  checkpoint::write_safetensors(path, tensors_at(L, 2, "tensors"), metadata_at(L, 3));
  return 0;
}

// safetensors.load(path, {copy = false}) -> tensors, metadata. Without copy they are views of the
// file, read when used.
int load_tensors(lua_State* L) {
  const std::string path = luaL_checkstring(L, 1);
  check_fields(L, 2, "safetensors.load", {"copy"});
  const Loading loading = boolean_field(L, 2, "copy", false) ? Loading::copy : Loading::map;
  const auto file = std::make_shared<const files::MappedFile>(path);
  push_tensors(L, checkpoint::read_safetensors(file, path, loading));
  push_metadata(L, checkpoint::parse_safetensors_header(file->data(), file->size(), path).metadata);
  return 2;
}

void push_entry(lua_State* L, const checkpoint::SafetensorsEntry& entry) {
  lua_createtable(L, 0, 4);
  lua_pushlstring(L, entry.name.data(), entry.name.size());
  lua_setfield(L, -2, "name");
  lua_pushstring(L, entry.dtype->name);
  lua_setfield(L, -2, "dtype");
  lua_pushinteger(L, static_cast<lua_Integer>(entry.end - entry.begin));
  lua_setfield(L, -2, "bytes");
  lua_createtable(L, static_cast<int>(entry.shape.size()), 0);
  for (size_t i = 0; i < entry.shape.size(); ++i) {
    lua_pushinteger(L, entry.shape[i]);
    lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
  }
  lua_setfield(L, -2, "shape");
}

// safetensors.header(path) -> list of {name=, dtype=, shape=, bytes=}, metadata; reads no tensor.
int header(lua_State* L) {
  const auto header = checkpoint::read_safetensors_header(luaL_checkstring(L, 1));
  lua_createtable(L, static_cast<int>(header.tensors.size()), 0);
  lua_Integer index = 0;
  for (const auto& entry : header.tensors) {
    push_entry(L, entry);
    lua_rawseti(L, -2, ++index);
  }
  push_metadata(L, header.metadata);
  return 2;
}

std::string required_string(lua_State* L, const char* function, const char* name) {
  std::string value = string_field(L, 1, name, "");
  GAMUT_CHECK(!value.empty(), function, " needs `", name, "`");
  return value;
}

// checkpoint.save{dir=, step=, files={model = tensors, ...}, state=table, keep=0, milestone=false}
// -> path, warnings
int save(lua_State* L) {
  check_fields(L, 1, "checkpoint.save", {"dir", "step", "files", "state", "keep", "milestone"});
  checkpoint::SaveRequest request;
  request.directory = required_string(L, "checkpoint.save", "dir");
  request.step = integer_field(L, 1, "step", -1);
  request.keep = integer_field(L, 1, "keep", 0);
  request.milestone = boolean_field(L, 1, "milestone", false);
  GAMUT_CHECK(push_field(L, 1, "files") && lua_istable(L, -1),
              "checkpoint.save needs `files`, a table of tensors by file name");
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    GAMUT_CHECK(lua_type(L, -2) == LUA_TSTRING,
                "checkpoint.save: `files` has a key that is no name");
    const std::string name = lua_tostring(L, -2);
    request.files[name] = tensors_at(L, -1, "files." + name);
  }
  const bool has_state = push_field(L, 1, "state");
  request.state =
      has_state ? json_from_lua(L, -1, NonFinite::tagged, "state") : nlohmann::json::object();
  const checkpoint::Saved saved = checkpoint::save_checkpoint(request);
  lua_pushstring(L, saved.path.c_str());
  push_strings(L, saved.warnings);
  return 2;
}

// checkpoint.list(dir) -> list of {step=, path=, bytes=, milestone=, damage=nil|string}, ascending
int list(lua_State* L) {
  const auto steps = checkpoint::list_checkpoints(luaL_checkstring(L, 1));
  lua_createtable(L, static_cast<int>(steps.size()), 0);
  lua_Integer index = 0;
  for (const auto& info : steps) {
    lua_createtable(L, 0, 5);
    lua_pushinteger(L, info.step);
    lua_setfield(L, -2, "step");
    lua_pushstring(L, info.path.c_str());
    lua_setfield(L, -2, "path");
    lua_pushinteger(L, static_cast<lua_Integer>(info.bytes));
    lua_setfield(L, -2, "bytes");
    lua_pushboolean(L, info.milestone);
    lua_setfield(L, -2, "milestone");
    if (!info.damage.empty()) {
      lua_pushstring(L, info.damage.c_str());
      lua_setfield(L, -2, "damage");
    }
    lua_rawseti(L, -2, ++index);
  }
  return 1;
}

void push_checkpoint(lua_State* L, const checkpoint::Checkpoint& loaded) {
  lua_createtable(L, 0, 5);
  lua_pushinteger(L, loaded.step);
  lua_setfield(L, -2, "step");
  lua_pushstring(L, loaded.path.c_str());
  lua_setfield(L, -2, "path");
  lua_createtable(L, 0, static_cast<int>(loaded.files.size()));
  for (const auto& [name, tensors] : loaded.files) {
    push_tensors(L, tensors);
    lua_setfield(L, -2, name.c_str());
  }
  lua_setfield(L, -2, "files");
  push_json(L, loaded.state, NonFinite::tagged);
  lua_setfield(L, -2, "state");
  push_strings(L, loaded.notes);
  lua_setfield(L, -2, "notes");
}

// checkpoint.load(path, {step=, verify="fast"|"full", copy=false}) -> {step=, path=, files=,
// state=, notes=}. The path is a step's folder, a folder of steps or a run's; without `step` the
// newest good one, and `notes` says which newer ones could not be used.
int load(lua_State* L) {
  checkpoint::LoadRequest request;
  request.path = luaL_checkstring(L, 1);
  check_fields(L, 2, "checkpoint.load", {"step", "verify", "copy"});
  if (push_field(L, 2, "step")) request.step = integer_field(L, 2, "step", 0);
  lua_pop(L, 1);
  const std::string verify = string_field(L, 2, "verify", "fast");
  GAMUT_CHECK(verify == "fast" || verify == "full",
              "checkpoint.load: verify must be \"fast\" or \"full\", got \"", verify, "\"");
  request.verify = verify == "full" ? checkpoint::Verify::full : checkpoint::Verify::fast;
  request.loading = boolean_field(L, 2, "copy", false) ? Loading::copy : Loading::map;
  push_checkpoint(L, checkpoint::load_checkpoint(request));
  return 1;
}

// checkpoint.supersede_after(dir, step) -> paths: for a run that goes on from an older step; newer
// ones are renamed, not removed.
int supersede_after(lua_State* L) {
  std::vector<std::string> paths;
  for (const auto& path :
       checkpoint::supersede_after(luaL_checkstring(L, 1), luaL_checkinteger(L, 2))) {
    paths.push_back(path.string());
  }
  push_strings(L, paths);
  return 1;
}

}  // namespace

int open_safetensors(lua_State* L) {
  checkpoint::link_operators();  // what plugins read weights with
  const luaL_Reg functions[] = {{"save", guard<save_tensors>},
                                {"load", guard<load_tensors>},
                                {"header", guard<header>},
                                {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

int open_checkpoint(lua_State* L) {
  const luaL_Reg functions[] = {{"save", guard<save>},
                                {"list", guard<list>},
                                {"load", guard<load>},
                                {"supersede_after", guard<supersede_after>},
                                {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
