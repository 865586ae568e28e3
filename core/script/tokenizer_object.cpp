// A tokenizer as a Lua object: `tokenizer:encode(text)`, `tokenizer.vocab_size` and so on.
//
// Text is a Lua string; audio is a table {samples = float32 [channels, time], sample_rate = Hz}.
#include "script/audio_value.h"
#include "script/plugin_objects.h"
#include "script/tensor.h"
#include "script/userdata.h"

namespace gamut::script {
namespace {

struct EncoderObject {
  static constexpr const char* kName = "gamut.StreamEncoder";
  std::unique_ptr<StreamEncoder> encoder;
  bool is_audio;
};

RawData to_raw(lua_State* L, int index, bool is_audio) {
  if (is_audio) {
    GAMUT_CHECK(lua_type(L, index) == LUA_TTABLE,
                "this tokenizer encodes audio, {samples = tensor, sample_rate = Hz}, not ",
                describe_value(L, index));
    return to_audio(L, index);
  }
  GAMUT_CHECK(lua_type(L, index) == LUA_TSTRING, "this tokenizer encodes text, a string, not ",
              describe_value(L, index));
  size_t size = 0;
  const char* text = lua_tolstring(L, index, &size);
  return std::string(text, size);
}

void push_raw(lua_State* L, const RawData& data) {
  if (const auto* text = std::get_if<std::string>(&data)) {
    lua_pushlstring(L, text->data(), text->size());
    return;
  }
  push_audio(L, std::get<Audio>(data));
}

// tokenizer:encode(text or audio) -> int64 [codebooks, steps].
int encode(lua_State* L) {
  auto& object = check_object<TokenizerObject>(L, 1);
  push_tensor(L, object.tokenizer->encode(to_raw(L, 2, object.info.is_audio)));
  return 1;
}

// tokenizer:decode(codes) -> text or audio.
int decode(lua_State* L) {
  auto& object = check_object<TokenizerObject>(L, 1);
  push_raw(L, object.tokenizer->decode(check_tensor(L, 2)));
  return 1;
}

// tokenizer:byte_counts(previous, target) -> int64 [n], or nil for audio.
int byte_counts(lua_State* L) {
  auto& object = check_object<TokenizerObject>(L, 1);
  push_tensor(L, object.tokenizer->byte_counts(check_tensor(L, 2), check_tensor(L, 3)));
  return 1;
}

// tokenizer:new_encoder() -> encoder:push(piece), encoder:finish(), for input beyond memory.
int new_encoder(lua_State* L) {
  auto& object = check_object<TokenizerObject>(L, 1);
  push_object(L, EncoderObject{object.tokenizer->new_encoder(), object.info.is_audio});
  return 1;
}

int encoder_push(lua_State* L) {
  auto& object = check_object<EncoderObject>(L, 1);
  push_tensor(L, object.encoder->push(to_raw(L, 2, object.is_audio)));
  return 1;
}

int encoder_finish(lua_State* L) {
  push_tensor(L, check_object<EncoderObject>(L, 1).encoder->finish());
  return 1;
}

bool push_info(lua_State* L, const TokenizerObject& object, const std::string& key) {
  const auto& info = object.info;
  if (key == "name") {
    lua_pushlstring(L, object.name.data(), object.name.size());
  } else if (key == "vocab_size") {
    lua_pushinteger(L, info.vocab_size);
  } else if (key == "codebooks") {
    lua_pushinteger(L, info.codebooks);
  } else if (key == "is_audio") {
    lua_pushboolean(L, info.is_audio);
  } else if (key == "frame_rate") {
    lua_pushnumber(L, info.frame_rate);
  } else if (key == "sample_rate") {
    lua_pushinteger(L, info.sample_rate);
  } else if (key == "special_ids") {
    lua_newtable(L);
    for (const auto& [name, id] : info.special_ids) {
      lua_pushinteger(L, id);
      lua_setfield(L, -2, name.c_str());
    }
  } else {
    return false;
  }
  return true;
}

int index(lua_State* L) {
  auto& object = check_object<TokenizerObject>(L, 1);
  const std::string key = luaL_checkstring(L, 2);
  if (push_info(L, object, key) || push_method<TokenizerObject>(L, 2)) return 1;
  throw Error("a tokenizer has no `" + key +
              "`; it has encode, decode, byte_counts, new_encoder, name, vocab_size, codebooks, "
              "is_audio, frame_rate, sample_rate and special_ids");
}

}  // namespace

void push_tokenizer(lua_State* L, std::unique_ptr<Tokenizer> tokenizer, std::string name) {
  TokenizerInfo info = tokenizer->info();
  push_object(L, TokenizerObject{std::move(tokenizer), std::move(name), std::move(info)});
}

void open_tokenizer_class(lua_State* L) {
  const luaL_Reg metamethods[] = {{"__index", guard<index>}, {nullptr, nullptr}};
  const luaL_Reg methods[] = {{"encode", guard<encode>},
                              {"decode", guard<decode>},
                              {"byte_counts", guard<byte_counts>},
                              {"new_encoder", guard<new_encoder>},
                              {nullptr, nullptr}};
  new_class<TokenizerObject>(L, metamethods, methods);
  const luaL_Reg none[] = {{nullptr, nullptr}};
  const luaL_Reg encoder_methods[] = {
      {"push", guard<encoder_push>}, {"finish", guard<encoder_finish>}, {nullptr, nullptr}};
  new_class<EncoderObject>(L, none, encoder_methods);
}

}  // namespace gamut::script
