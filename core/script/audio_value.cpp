// A table of two fields, read and made.
#include "script/audio_value.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include "script/tensor.h"

namespace gamut::script {

Audio to_audio(lua_State* L, int index) {
  Audio audio;
  lua_getfield(L, index, "samples");
  const at::Tensor* samples = test_tensor(L, -1);
  GAMUT_CHECK(samples, "audio is {samples = tensor, sample_rate = Hz}; samples is ",
              describe_value(L, -1));
  audio.samples = *samples;
  lua_getfield(L, index, "sample_rate");
  GAMUT_CHECK(lua_isinteger(L, -1),
              "audio is {samples = tensor, sample_rate = Hz}; sample_rate is ",
              describe_value(L, -1));
  audio.sample_rate = lua_tointeger(L, -1);
  lua_pop(L, 2);
  return audio;
}

void push_audio(lua_State* L, const Audio& audio) {
  lua_createtable(L, 0, 2);
  push_tensor(L, audio.samples);
  lua_setfield(L, -2, "samples");
  lua_pushinteger(L, audio.sample_rate);
  lua_setfield(L, -2, "sample_rate");
}

}  // namespace gamut::script
