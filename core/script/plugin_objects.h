// The Lua objects of gamut.native.plugins; bind_plugins.cpp puts them into the module.
#pragma once

#include <gamut/mixer.h>
#include <gamut/optimizer.h>
#include <gamut/tokenizer.h>

#include <memory>
#include <string>

#include "script/lua.h"

namespace gamut::script {

// A list of {name, tensor} tables, with the fields by name and by position.
void push_named_tensors(lua_State* L, const NamedTensors& tensors);
// The same read back, from such a list or from a list of {name, tensor} by position.
NamedTensors to_named_tensors(lua_State* L, int index, const std::string& context);

// A mixer's state. Inside a forward that C++ calls it is borrowed from the caller; it must not be
// used after that forward, and says so.
struct StateObject {
  static constexpr const char* kName = "gamut.State";
  State own;
  State* borrowed = nullptr;
  bool expired = false;

  State& get();
};
void push_state(lua_State* L, State state);
StateObject& push_borrowed_state(lua_State* L, State* state);

struct MixerObject {
  static constexpr const char* kName = "gamut.Mixer";
  std::unique_ptr<Mixer> mixer;
};
// Pushes it; the table of checked options on top of the stack becomes its `options`.
void push_mixer(lua_State* L, std::unique_ptr<Mixer> mixer);

struct TokenizerObject {
  static constexpr const char* kName = "gamut.Tokenizer";
  std::shared_ptr<Tokenizer> tokenizer;  // its encoders and decoders hold it too
  std::string name;
  TokenizerInfo info;
};
void push_tokenizer(lua_State* L, std::unique_ptr<Tokenizer> tokenizer, std::string name);

struct OptimizerObject {
  static constexpr const char* kName = "gamut.Optimizer";
  std::unique_ptr<Optimizer> optimizer;
  std::string name;
  OptionTable table;
};
void push_optimizer(lua_State* L, std::unique_ptr<Optimizer> optimizer, std::string name,
                    OptionTable table);

// Create the metatables; once a state.
void open_state_class(lua_State* L);
void open_mixer_class(lua_State* L);
void open_tokenizer_class(lua_State* L);
void open_optimizer_class(lua_State* L);

}  // namespace gamut::script
