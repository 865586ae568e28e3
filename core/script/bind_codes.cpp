// gamut.native.codes: codes shards, windows of codes, and audio files. scripts/gamut/data wraps it.
#include <ATen/ATen.h>

#include "data/audio/reader.h"
#include "data/audio/writer.h"
#include "data/codes/batches.h"
#include "data/codes/decode.h"
#include "data/codes/set.h"
#include "data/codes/use.h"
#include "data/codes/writer.h"
#include "data/prefetch.h"
#include "plugin_host/registry.h"
#include "script/audio_value.h"
#include "script/json.h"
#include "script/option_values.h"
#include "script/plugin_objects.h"
#include "script/table_fields.h"
#include "script/tensor.h"
#include "script/userdata.h"

namespace gamut::script {
namespace {

struct CodeSetObject {
  static constexpr const char* kName = "gamut.CodeSet";
  std::shared_ptr<const data::CodeSet> set;
  std::string fingerprint;  // made when first asked for
};
struct CodeLoaderObject {
  static constexpr const char* kName = "gamut.CodeLoader";
  std::unique_ptr<data::Prefetcher<data::CodeBatchSource>> prefetcher;
};
struct CodeWriterObject {
  static constexpr const char* kName = "gamut.CodesWriter";
  std::unique_ptr<data::CodesWriter> writer;  // null once finished
};

void push_paths(lua_State* L, const std::vector<std::filesystem::path>& paths) {
  lua_createtable(L, static_cast<int>(paths.size()), 0);
  for (size_t i = 0; i < paths.size(); ++i) {
    lua_pushstring(L, paths[i].c_str());
    lua_rawseti(L, -2, static_cast<lua_Integer>(i + 1));
  }
}

// codes.find(path, split) -> list of paths.
int find_codes(lua_State* L) {
  push_paths(L, data::find_codes(luaL_checkstring(L, 1), luaL_optstring(L, 2, "")));
  return 1;
}

// codes.set(list of paths) -> set.
int code_set(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  std::vector<std::filesystem::path> files;
  for (size_t i = 1; i <= lua_rawlen(L, 1); ++i, lua_pop(L, 1)) {
    lua_rawgeti(L, 1, static_cast<lua_Integer>(i));
    files.emplace_back(luaL_checkstring(L, -1));
  }
  push_object(L, CodeSetObject{std::make_shared<data::CodeSet>(files), ""});
  return 1;
}

// set:item(i) -> int64 [codebooks, frames], facts.
int set_item(lua_State* L) {
  const auto& set = *check_object<CodeSetObject>(L, 1).set;
  const int64_t index = luaL_checkinteger(L, 2);
  push_tensor(L, set.item(index).to(at::kLong).t().contiguous());
  push_json(L, set.facts(index), NonFinite::refuse);
  return 2;
}

// set:facts(i) -> table; set:length(i) -> frames; set:find(name) -> index or nil.
int set_facts(lua_State* L) {
  const auto& set = *check_object<CodeSetObject>(L, 1).set;
  push_json(L, set.facts(luaL_checkinteger(L, 2)), NonFinite::refuse);
  return 1;
}
int set_length(lua_State* L) {
  lua_pushinteger(L, check_object<CodeSetObject>(L, 1).set->length(luaL_checkinteger(L, 2)));
  return 1;
}
int set_find(lua_State* L) {
  const int64_t index = check_object<CodeSetObject>(L, 1).set->find(luaL_checkstring(L, 2));
  if (index < 0) return lua_pushnil(L), 1;
  lua_pushinteger(L, index);
  return 1;
}

// set:verify(): reads everything.
int set_verify(lua_State* L) {
  check_object<CodeSetObject>(L, 1).set->verify();
  return 0;
}

// The numbers that a description holds; false for another key.
bool push_number(lua_State* L, const data::CodesDescription& description, const std::string& key) {
  const std::map<std::string, int64_t> numbers = {{"sample_rate", description.sample_rate},
                                                  {"hop_length", description.hop_length},
                                                  {"codebooks", description.codebooks},
                                                  {"vocab_size", description.vocab_size}};
  const auto found = numbers.find(key);
  if (found == numbers.end()) return false;
  lua_pushinteger(L, found->second);
  return true;
}

int set_index(lua_State* L) {
  auto& object = check_object<CodeSetObject>(L, 1);
  const auto& set = *object.set;
  const std::string key = luaL_checkstring(L, 2);
  if (key == "items") {
    lua_pushinteger(L, set.items());
  } else if (key == "frames") {
    lua_pushinteger(L, set.frames());
  } else if (key == "frame_rate") {
    lua_pushnumber(L, set.description().frame_rate);
  } else if (key == "tokenizer") {
    push_json(L, set.description().tokenizer.to_json(), NonFinite::refuse);
  } else if (key == "files") {
    std::vector<std::filesystem::path> files;
    for (const auto& shard : set.shards()) files.push_back(shard->path());
    push_paths(L, files);
  } else if (key == "fingerprint") {
    if (object.fingerprint.empty()) object.fingerprint = set.fingerprint();
    lua_pushstring(L, object.fingerprint.c_str());
  } else if (!push_number(L, set.description(), key) && !push_method<CodeSetObject>(L, 2)) {
    throw Error("a code set has no `" + key +
                "`; it has items, frames, codebooks, vocab_size, sample_rate, frame_rate, "
                "hop_length, tokenizer, files, fingerprint, item, facts, length, find and verify");
  }
  return 1;
}

// codes.loader(set, {batch=, frames=, minimum=, crops=, shuffled=, seed=, pad=, prefetch=}).
int loader(lua_State* L) {
  const auto& set = check_object<CodeSetObject>(L, 1).set;
  check_fields(L, 2, "data.code_batches",
               {"batch", "frames", "minimum", "crops", "shuffled", "seed", "pad", "prefetch"});
  data::CodeBatchOptions options;
  options.batch = integer_field(L, 2, "batch", 1);
  options.frames = integer_field(L, 2, "frames", 1);
  options.minimum = integer_field(L, 2, "minimum", 1);
  options.cut = boolean_field(L, 2, "crops", false) ? data::CodeCut::crops : data::CodeCut::chunks;
  options.shuffled = boolean_field(L, 2, "shuffled", false);
  options.seed = static_cast<uint64_t>(integer_field(L, 2, "seed", 0));
  if (push_field(L, 2, "pad")) options.pad = luaL_checkinteger(L, -1);
  const int64_t depth = integer_field(L, 2, "prefetch", 2);
  push_object(L, CodeLoaderObject{std::make_unique<data::Prefetcher<data::CodeBatchSource>>(
                     data::CodeBatchSource(set, options), depth)});
  return 1;
}

int push_batch(lua_State* L, data::CodeBatch batch) {
  push_tensor(L, std::move(batch.codes));
  push_tensor(L, std::move(batch.lengths));
  lua_createtable(L, 0, 3);
  push_tensor(L, std::move(batch.items));
  lua_setfield(L, -2, "items");
  push_tensor(L, std::move(batch.starts));
  lua_setfield(L, -2, "starts");
  push_tensor(L, std::move(batch.ended));
  lua_setfield(L, -2, "ended");
  return 3;
}

// loader:next() -> codes [batch, codebooks, frames], lengths [batch], {items=, starts=, ended=}.
int loader_next(lua_State* L) {
  return push_batch(L, check_object<CodeLoaderObject>(L, 1).prefetcher->next());
}
// loader:of_epoch(index) -> the same of a batch of the first epoch; the last may be smaller.
int loader_of_epoch(lua_State* L) {
  const auto& source = check_object<CodeLoaderObject>(L, 1).prefetcher->source();
  return push_batch(L, source.of_epoch(luaL_checkinteger(L, 2)));
}
// loader:position() -> integer; loader:seek(position) goes there.
int loader_position(lua_State* L) {
  lua_pushinteger(L, check_object<CodeLoaderObject>(L, 1).prefetcher->position());
  return 1;
}
int loader_seek(lua_State* L) {
  check_object<CodeLoaderObject>(L, 1).prefetcher->seek(luaL_checkinteger(L, 2));
  return 0;
}
// loader:counts() -> windows and batches of an epoch, items that are too short, the pad.
int loader_counts(lua_State* L) {
  const auto& source = check_object<CodeLoaderObject>(L, 1).prefetcher->source();
  for (const int64_t count : {source.windows(), source.batches(), source.items_left_out(),
                              source.options().pad.value()}) {
    lua_pushinteger(L, count);
  }
  return 4;
}

// codes.writer{folder=, split=, tokenizer= (as set.tokenizer), sample_rate=, frame_rate=,
// hop_length=, codebooks=, vocab_size=, shard_bytes=} -> writer.
int code_writer(lua_State* L) {
  check_fields(L, 1, "data.code_writer",
               {"folder", "split", "tokenizer", "sample_rate", "frame_rate", "hop_length",
                "codebooks", "vocab_size", "shard_bytes"});
  lua_settop(L, 1);
  data::CodesDescription description;
  push_field(L, 1, "tokenizer");
  description.tokenizer = data::TokenizerRecord::from_json(
      json_from_lua(L, -1, NonFinite::refuse, "tokenizer"), "data.code_writer");
  description.sample_rate = integer_field(L, 1, "sample_rate", 0);
  description.hop_length = integer_field(L, 1, "hop_length", 0);
  description.codebooks = integer_field(L, 1, "codebooks", 1);
  description.vocab_size = integer_field(L, 1, "vocab_size", 0);
  description.frame_rate = static_cast<double>(description.sample_rate) /
                           static_cast<double>(std::max<int64_t>(description.hop_length, 1));
  description.frame_rate = number_field(L, 1, "frame_rate", description.frame_rate);
  const std::string folder = output_folder(L, 1, "data.code_writer");
  push_object(L, CodeWriterObject{std::make_unique<data::CodesWriter>(
                     folder, string_field(L, 1, "split", "train"), description,
                     integer_field(L, 1, "shard_bytes", data::kCodesShardBytes))});
  return 1;
}

data::CodesWriter& open_writer(lua_State* L) {
  auto& object = check_object<CodeWriterObject>(L, 1);
  GAMUT_CHECK(object.writer, "this writer of codes is finished; make another one");
  return *object.writer;
}

// writer:append(integers [codebooks, frames], facts).
int writer_append(lua_State* L) {
  auto& writer = open_writer(L);
  writer.append(check_tensor(L, 2), json_from_lua(L, 3, NonFinite::refuse, "facts"));
  return 0;
}

// writer:finish() -> list of paths.
int writer_finish(lua_State* L) {
  push_paths(L, open_writer(L).finish());
  check_object<CodeWriterObject>(L, 1).writer.reset();
  return 1;
}

// codes.use(set) -> a list of {distinct=, bits=}, one a codebook.
int codebook_use(lua_State* L) {
  const auto uses = data::codebook_use(*check_object<CodeSetObject>(L, 1).set);
  lua_createtable(L, static_cast<int>(uses.size()), 0);
  for (size_t i = 0; i < uses.size(); ++i) {
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, uses[i].distinct);
    lua_setfield(L, -2, "distinct");
    lua_pushnumber(L, uses[i].bits);
    lua_setfield(L, -2, "bits");
    lua_rawseti(L, -2, static_cast<lua_Integer>(i + 1));
  }
  return 1;
}

// codes.decode(set, tokenizer, its options, {item=, start=, seconds=, codebooks=, out=}) ->
// {begin=, frames=, samples=, channels=, sample_rate=}.
int decode(lua_State* L) {
  const auto& set = *check_object<CodeSetObject>(L, 1).set;
  auto& object = check_object<TokenizerObject>(L, 2);
  const OptionMap options = to_option_map(L, 3, "tokenizer `" + object.name + "`");
  check_fields(L, 4, "decode", {"item", "start", "seconds", "codebooks", "out"});
  data::CodeStretch stretch;
  stretch.item = integer_field(L, 4, "item", 0);
  stretch.codebooks = integer_field(L, 4, "codebooks", 0);
  stretch.start = number_field(L, 4, "start", 0);
  stretch.seconds = number_field(L, 4, "seconds", 0);
  const auto record =
      data::TokenizerRecord::of(*object.tokenizer, object.name,
                                host::registry().find("tokenizer", object.name).version, options);
  const data::DecodedStretch made =
      data::decode_stretch(set, *object.tokenizer, record, stretch, string_field(L, 4, "out", ""));
  push_json(L,
            {{"begin", made.begin},
             {"frames", made.frames},
             {"samples", made.samples},
             {"channels", made.channels},
             {"sample_rate", made.sample_rate}},
            NonFinite::refuse);
  return 1;
}

// codes.read_audio(path, {sample_rate=, channels=, accept_truncated=}) -> audio.
int read_audio(lua_State* L) {
  const std::string path = luaL_checkstring(L, 1);
  check_fields(L, 2, "data.read_audio", {"sample_rate", "channels", "accept_truncated"});
  push_audio(L, data::read_audio(path, {integer_field(L, 2, "sample_rate", 0),
                                        integer_field(L, 2, "channels", 0),
                                        boolean_field(L, 2, "accept_truncated", false)}));
  return 1;
}

// codes.write_audio(path, audio, {encoding=}).
int write_audio(lua_State* L) {
  const std::string path = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  check_fields(L, 3, "data.write_audio", {"encoding"});
  const std::string encoding = string_field(L, 3, "encoding", "pcm16");
  GAMUT_CHECK(encoding == "pcm16" || encoding == "float32", "audio is written as `pcm16` or ",
              "`float32`, not as `", encoding, "`");
  data::write_audio(
      path, to_audio(L, 2),
      encoding == "pcm16" ? data::AudioEncoding::pcm16 : data::AudioEncoding::float32);
  return 0;
}

void open_classes(lua_State* L) {
  const luaL_Reg none[] = {{nullptr, nullptr}};
  const luaL_Reg set_metamethods[] = {{"__index", guard<set_index>}, {nullptr, nullptr}};
  const luaL_Reg set_methods[] = {{"item", guard<set_item>},     {"facts", guard<set_facts>},
                                  {"length", guard<set_length>}, {"find", guard<set_find>},
                                  {"verify", guard<set_verify>}, {nullptr, nullptr}};
  new_class<CodeSetObject>(L, set_metamethods, set_methods);
  const luaL_Reg loader_methods[] = {
      {"next", guard<loader_next>},     {"of_epoch", guard<loader_of_epoch>},
      {"seek", guard<loader_seek>},     {"position", guard<loader_position>},
      {"counts", guard<loader_counts>}, {nullptr, nullptr}};
  new_class<CodeLoaderObject>(L, none, loader_methods);
  const luaL_Reg writer_methods[] = {
      {"append", guard<writer_append>}, {"finish", guard<writer_finish>}, {nullptr, nullptr}};
  new_class<CodeWriterObject>(L, none, writer_methods);
}

}  // namespace

int open_codes(lua_State* L) {
  open_classes(L);
  const luaL_Reg functions[] = {{"find", guard<find_codes>},
                                {"set", guard<code_set>},
                                {"loader", guard<loader>},
                                {"writer", guard<code_writer>},
                                {"use", guard<codebook_use>},
                                {"decode", guard<decode>},
                                {"read_audio", guard<read_audio>},
                                {"write_audio", guard<write_audio>},
                                {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
