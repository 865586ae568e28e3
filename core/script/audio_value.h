// Audio as a Lua value: {samples = float32 [channels, time], sample_rate = Hz}.
#pragma once

#include <gamut/tokenizer.h>

#include "script/lua.h"

namespace gamut::script {

// Throws gamut::Error that says what was passed instead.
Audio to_audio(lua_State* L, int index);
void push_audio(lua_State* L, const Audio& audio);

}  // namespace gamut::script
