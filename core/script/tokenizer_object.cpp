// A tokenizer as a Lua object: `tokenizer:encode(text)`, `tokenizer.vocab_size` and so on.
//
// Text is a Lua string; audio is a table {samples = float32 [channels, time], sample_rate = Hz}.
#include <gamut/code_files.h>
#include <gamut/codec.h>
#include <gamut/identity.h>

#include "files/file.h"
#include "script/audio_value.h"
#include "script/plugin_objects.h"
#include "script/tensor.h"
#include "script/userdata.h"

namespace gamut::script {
namespace {

struct EncoderObject {
  static constexpr const char* kName = "gamut.StreamEncoder";
  std::shared_ptr<Tokenizer> tokenizer;  // outlives the encoder
  std::unique_ptr<StreamEncoder> encoder;
  bool is_audio;
};

struct DecoderObject {
  static constexpr const char* kName = "gamut.StreamDecoder";
  std::shared_ptr<Tokenizer> tokenizer;
  std::unique_ptr<StreamDecoder> decoder;
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

void push_strings(lua_State* L, const std::map<std::string, std::string>& strings) {
  lua_createtable(L, 0, static_cast<int>(strings.size()));
  for (const auto& [name, value] : strings) {
    lua_pushlstring(L, value.data(), value.size());
    lua_setfield(L, -2, name.c_str());
  }
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
  push_object(
      L, EncoderObject{object.tokenizer, object.tokenizer->new_encoder(), object.info.is_audio});
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

// ---- what tokenizers of audio have beside

AudioCodec* codec_of(const TokenizerObject& object) {
  return static_cast<AudioCodec*>(object.tokenizer->query(AudioCodec::kId));
}

AudioCodec& check_codec(const TokenizerObject& object) {
  auto* codec = codec_of(object);
  GAMUT_CHECK(codec, "the tokenizer `", object.name, "` is no codec of audio");
  return *codec;
}

CodeFiles* code_files_of(const TokenizerObject& object) {
  return static_cast<CodeFiles*>(object.tokenizer->query(CodeFiles::kId));
}

CodeFiles& check_code_files(const TokenizerObject& object) {
  auto* files = code_files_of(object);
  GAMUT_CHECK(files, "the tokenizer `", object.name, "` has no files of its own for codes");
  return *files;
}

int64_t check_count(lua_State* L, int index, const char* what) {
  GAMUT_CHECK(lua_isinteger(L, index) && lua_tointeger(L, index) >= 0, "a number of ", what,
              " is an integer of 0 or more, not ", describe_value(L, index));
  return lua_tointeger(L, index);
}

// tokenizer:steps(samples): steps that encode gives for so many samples.
int steps(lua_State* L) {
  auto& codec = check_codec(check_object<TokenizerObject>(L, 1));
  lua_pushinteger(L, codec.steps(check_count(L, 2, "samples")));
  return 1;
}

// tokenizer:samples(steps): samples that decode gives for so many steps.
int samples(lua_State* L) {
  auto& codec = check_codec(check_object<TokenizerObject>(L, 1));
  lua_pushinteger(L, codec.samples(check_count(L, 2, "steps")));
  return 1;
}

// tokenizer:new_decoder() -> decoder:push(codes), decoder:finish(): float32 [channels, samples].
int new_decoder(lua_State* L) {
  auto& object = check_object<TokenizerObject>(L, 1);
  push_object(L, DecoderObject{object.tokenizer, check_codec(object).new_decoder()});
  return 1;
}

int decoder_push(lua_State* L) {
  push_tensor(L, check_object<DecoderObject>(L, 1).decoder->push(check_tensor(L, 2)));
  return 1;
}

int decoder_finish(lua_State* L) {
  push_tensor(L, check_object<DecoderObject>(L, 1).decoder->finish());
  return 1;
}

std::string_view bytes_of(const files::MappedFile& file) {
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

// tokenizer:read_code_file(path) -> {codes, sample_rate, samples, channels, facts}.
int read_code_file(lua_State* L) {
  auto& files = check_code_files(check_object<TokenizerObject>(L, 1));
  const files::MappedFile mapped(luaL_checkstring(L, 2));
  const CodeFile file = files.parse(bytes_of(mapped));
  lua_createtable(L, 0, 5);
  push_tensor(L, file.codes);
  lua_setfield(L, -2, "codes");
  for (const auto& [name, value] : {std::pair{"sample_rate", file.sample_rate},
                                    {"samples", file.samples},
                                    {"channels", file.channels}}) {
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
  }
  push_strings(L, file.facts);
  lua_setfield(L, -2, "facts");
  return 1;
}

// tokenizer:decode_code_file(path) -> audio, as the codec's own program decodes it.
int decode_code_file(lua_State* L) {
  auto& files = check_code_files(check_object<TokenizerObject>(L, 1));
  const files::MappedFile mapped(luaL_checkstring(L, 2));
  push_audio(L, files.decode_file(bytes_of(mapped)));
  return 1;
}

// tokenizer:write_code_file(path, audio): whole or not at all.
int write_code_file(lua_State* L) {
  auto& files = check_code_files(check_object<TokenizerObject>(L, 1));
  const std::string path = luaL_checkstring(L, 2);
  const std::string bytes = files.encode_file(to_audio(L, 3));
  files::AtomicFile file(path);
  file.file().write(bytes.data(), bytes.size());
  file.commit();
  return 0;
}

// The fields that come of capabilities; nil where the tokenizer has none of that.
bool push_capability(lua_State* L, const TokenizerObject& object, const std::string& key) {
  if (key == "channels" || key == "hop_length") {
    const auto* codec = codec_of(object);
    if (codec) {
      lua_pushinteger(L, key == "channels" ? codec->channels() : codec->hop_length());
    } else {
      lua_pushnil(L);
    }
  } else if (key == "code_file_extension") {
    const auto* files = code_files_of(object);
    files ? static_cast<void>(lua_pushstring(L, files->extension().c_str())) : lua_pushnil(L);
  } else if (key == "identity") {
    const auto* found = static_cast<Identity*>(object.tokenizer->query(Identity::kId));
    push_strings(L, found ? found->identity() : std::map<std::string, std::string>{});
  } else {
    return false;
  }
  return true;
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
  if (push_info(L, object, key) || push_capability(L, object, key) ||
      push_method<TokenizerObject>(L, 2)) {
    return 1;
  }
  throw Error("a tokenizer has no `" + key +
              "`; it has encode, decode, byte_counts, new_encoder, name, vocab_size, codebooks, "
              "is_audio, frame_rate, sample_rate, special_ids and identity; one of audio also has "
              "new_decoder, steps, samples, channels, hop_length, and for the codec's own files "
              "code_file_extension, read_code_file, decode_code_file and write_code_file");
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
                              {"new_decoder", guard<new_decoder>},
                              {"steps", guard<steps>},
                              {"samples", guard<samples>},
                              {"read_code_file", guard<read_code_file>},
                              {"decode_code_file", guard<decode_code_file>},
                              {"write_code_file", guard<write_code_file>},
                              {nullptr, nullptr}};
  new_class<TokenizerObject>(L, metamethods, methods);
  const luaL_Reg none[] = {{nullptr, nullptr}};
  const luaL_Reg encoder_methods[] = {
      {"push", guard<encoder_push>}, {"finish", guard<encoder_finish>}, {nullptr, nullptr}};
  new_class<EncoderObject>(L, none, encoder_methods);
  const luaL_Reg decoder_methods[] = {
      {"push", guard<decoder_push>}, {"finish", guard<decoder_finish>}, {nullptr, nullptr}};
  new_class<DecoderObject>(L, none, decoder_methods);
}

}  // namespace gamut::script
