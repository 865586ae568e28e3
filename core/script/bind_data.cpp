// gamut.native.data: token shards, batches and text corpora. scripts/gamut/data wraps it.
#include <ATen/ATen.h>

#include "data/batches.h"
#include "data/corpus.h"
#include "data/prefetch.h"
#include "plugin_host/registry.h"
#include "script/json.h"
#include "script/plugin_objects.h"
#include "script/table_fields.h"
#include "script/tensor.h"
#include "script/userdata.h"

namespace gamut::script {
namespace {

using Paths = std::vector<std::filesystem::path>;

struct SetObject {
  static constexpr const char* kName = "gamut.TokenSet";
  std::shared_ptr<const data::TokenSet> set;
  std::string fingerprint;  // made when first asked for
};
struct LoaderObject {
  static constexpr const char* kName = "gamut.BatchLoader";
  std::unique_ptr<data::Prefetcher<data::BatchSource>> prefetcher;
};
struct WindowsObject {
  static constexpr const char* kName = "gamut.ValidationWindows";
  std::unique_ptr<data::ValidationWindows> windows;
};
struct WriterObject {
  static constexpr const char* kName = "gamut.ShardWriter";
  std::unique_ptr<data::ShardWriter> writer;  // null once finished
};

void push_paths(lua_State* L, const Paths& paths) {
  lua_createtable(L, static_cast<int>(paths.size()), 0);
  for (size_t i = 0; i < paths.size(); ++i) {
    lua_pushstring(L, paths[i].c_str());
    lua_rawseti(L, -2, static_cast<lua_Integer>(i + 1));
  }
}

int push_batch(lua_State* L, data::Batch batch) {
  push_tensor(L, std::move(batch.x));
  push_tensor(L, std::move(batch.y));
  return 2;
}

// data.find_shards(path, split) -> list of paths.
int find_shards(lua_State* L) {
  push_paths(L, data::find_shards(luaL_checkstring(L, 1), luaL_optstring(L, 2, "")));
  return 1;
}

// data.glob(pattern) -> list of paths, empty when nothing matches.
int glob_paths(lua_State* L) {
  push_paths(L, data::match_pattern(luaL_checkstring(L, 1)));
  return 1;
}

// data.token_set(list of paths, vocab_size or nil) -> set.
int token_set(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  Paths files;
  for (size_t i = 1; i <= lua_rawlen(L, 1); ++i, lua_pop(L, 1)) {
    lua_rawgeti(L, 1, static_cast<lua_Integer>(i));
    GAMUT_CHECK(lua_type(L, -1) == LUA_TSTRING, "a token set is made from a list of paths; its ", i,
                ". element is a ", luaL_typename(L, -1));
    files.emplace_back(lua_tostring(L, -1));
  }
  const int64_t vocab_size = luaL_optinteger(L, 2, data::kMaxVocabulary);
  push_object(L, SetObject{std::make_shared<data::TokenSet>(files, vocab_size), ""});
  return 1;
}

// set:read(begin, count) -> int64 [count], wrapping at the end.
int set_read(lua_State* L) {
  const auto& object = check_object<SetObject>(L, 1);
  const int64_t begin = luaL_checkinteger(L, 2), count = luaL_checkinteger(L, 3);
  GAMUT_CHECK(begin >= 0 && count >= 0, "set:read takes a position and a count of 0 or more, got ",
              begin, " and ", count);
  at::Tensor ids = at::empty({count}, at::kLong);
  object.set->read(begin, count, ids.data_ptr<int64_t>());
  push_tensor(L, std::move(ids));
  return 1;
}

// set:verify(): reads everything for ids outside of the vocabulary.
int set_verify(lua_State* L) {
  check_object<SetObject>(L, 1).set->verify();
  return 0;
}

void push_files(lua_State* L, const data::TokenSet& set) {
  Paths paths;
  for (const auto& shard : set.shards()) paths.push_back(shard->path());
  push_paths(L, paths);
}

int set_index(lua_State* L) {
  auto& object = check_object<SetObject>(L, 1);
  const std::string key = luaL_checkstring(L, 2);
  if (key == "tokens") {
    lua_pushinteger(L, object.set->size());
  } else if (key == "vocab_size") {
    lua_pushinteger(L, object.set->vocab_size());
  } else if (key == "files") {
    push_files(L, *object.set);
  } else if (key == "fingerprint") {
    if (object.fingerprint.empty()) object.fingerprint = object.set->fingerprint();
    lua_pushstring(L, object.fingerprint.c_str());
  } else if (!push_method<SetObject>(L, 2)) {
    throw Error("a token set has no `" + key +
                "`; it has tokens, files, fingerprint, vocab_size, read and verify");
  }
  return 1;
}

// data.loader(set, {batch=, context=, shuffled=, seed=, prefetch=}) -> loader.
int loader(lua_State* L) {
  const auto& set = check_object<SetObject>(L, 1).set;
  check_fields(L, 2, "data.loader", {"batch", "context", "shuffled", "seed", "prefetch"});
  data::BatchOptions options;
  options.batch = integer_field(L, 2, "batch", 1);
  options.context = integer_field(L, 2, "context", 1);
  options.shuffled = boolean_field(L, 2, "shuffled", false);
  options.seed = static_cast<uint64_t>(integer_field(L, 2, "seed", 0));
  const int64_t depth = integer_field(L, 2, "prefetch", 2);
  push_object(L, LoaderObject{std::make_unique<data::Prefetcher<data::BatchSource>>(
                     data::BatchSource(set, options), depth)});
  return 1;
}

// loader:next() -> x, y, int64 [batch, context].
int loader_next(lua_State* L) {
  return push_batch(L, check_object<LoaderObject>(L, 1).prefetcher->next());
}

// loader:position() -> integer; loader:seek(position) goes there.
int loader_position(lua_State* L) {
  lua_pushinteger(L, check_object<LoaderObject>(L, 1).prefetcher->position());
  return 1;
}
int loader_seek(lua_State* L) {
  check_object<LoaderObject>(L, 1).prefetcher->seek(luaL_checkinteger(L, 2));
  return 0;
}

// loader:windows() -> windows of an epoch.
int loader_windows(lua_State* L) {
  lua_pushinteger(L, check_object<LoaderObject>(L, 1).prefetcher->source().windows());
  return 1;
}

// data.windows(set, {batch=, context=, max_tokens=}) -> windows:at(index) -> x, y; windows:counts()
// -> batches, tokens.
int windows(lua_State* L) {
  const auto& set = check_object<SetObject>(L, 1).set;
  check_fields(L, 2, "data.windows", {"batch", "context", "max_tokens"});
  push_object(L, WindowsObject{std::make_unique<data::ValidationWindows>(
                     set, integer_field(L, 2, "batch", 1), integer_field(L, 2, "context", 1),
                     integer_field(L, 2, "max_tokens", 0))});
  return 1;
}
int windows_at(lua_State* L) {
  return push_batch(L, check_object<WindowsObject>(L, 1).windows->at(luaL_checkinteger(L, 2)));
}
int windows_counts(lua_State* L) {
  const auto& object = *check_object<WindowsObject>(L, 1).windows;
  lua_pushinteger(L, object.batches());
  lua_pushinteger(L, object.tokens());
  return 2;
}

// data.shard_writer{folder=, prefix=, vocab_size=, shard_tokens=} -> writer.
int shard_writer(lua_State* L) {
  check_fields(L, 1, "data.shard_writer", {"folder", "prefix", "vocab_size", "shard_tokens"});
  const std::string folder = output_folder(L, 1, "data.shard_writer");
  push_object(L, WriterObject{std::make_unique<data::ShardWriter>(
                     folder, string_field(L, 1, "prefix", "tokens_train"),
                     integer_field(L, 1, "vocab_size", data::kMaxVocabulary),
                     integer_field(L, 1, "shard_tokens", data::kShardTokens))});
  return 1;
}

data::ShardWriter& open_writer(lua_State* L) {
  auto& object = check_object<WriterObject>(L, 1);
  GAMUT_CHECK(object.writer, "this shard writer is finished; make another one");
  return *object.writer;
}

// writer:append(integer tensor).
int writer_append(lua_State* L) {
  auto& writer = open_writer(L);
  const at::Tensor& codes = check_tensor(L, 2);
  GAMUT_CHECK(at::isIntegralType(codes.scalar_type(), /*includeBool=*/false),
              "a shard holds token ids; this tensor is ", codes.dtype());
  const at::Tensor flat = codes.to(at::kCPU, at::kLong).contiguous();
  writer.append(flat.data_ptr<int64_t>(), flat.numel());
  return 0;
}

// writer:finish() -> list of paths.
int writer_finish(lua_State* L) {
  push_paths(L, open_writer(L).finish());
  check_object<WriterObject>(L, 1).writer.reset();
  return 1;
}

// data.corpus{path=, cache=, tokenizer=, validation=, seed=, progress=} -> {train=, validation=,
// manifest=, reused=}: lists of paths, and what manifest.json holds.
int corpus(lua_State* L) {
  check_fields(L, 1, "data.corpus",
               {"path", "cache", "tokenizer", "validation", "seed", "progress"});
  lua_settop(L, 1);
  data::CorpusOptions options;
  options.source = string_field(L, 1, "path", "");
  options.cache = string_field(L, 1, "cache", "");
  options.seed = static_cast<uint64_t>(integer_field(L, 1, "seed", 0));
  if (push_field(L, 1, "validation")) options.validation = luaL_checknumber(L, -1);
  push_field(L, 1, "tokenizer");
  auto& tokenizer = check_object<TokenizerObject>(L, -1);  // stays on the stack, so it stays alive
  options.tokenizer_name = tokenizer.name;
  options.tokenizer_version = host::registry().find("tokenizer", tokenizer.name).version;
  if (push_field(L, 1, "progress")) {
    options.progress = [L, function = lua_gettop(L)](int64_t done, int64_t all, int64_t bytes) {
      lua_pushvalue(L, function);
      for (const int64_t number : {done, all, bytes}) lua_pushinteger(L, number);
      lua_call(L, 3, 0);
    };
  }
  const data::Corpus made = data::prepare_corpus(options, *tokenizer.tokenizer);
  lua_createtable(L, 0, 4);
  push_paths(L, made.train);
  lua_setfield(L, -2, "train");
  push_paths(L, made.validation);
  lua_setfield(L, -2, "validation");
  push_json(L, made.manifest, NonFinite::refuse);
  lua_setfield(L, -2, "manifest");
  lua_pushboolean(L, made.reused);
  lua_setfield(L, -2, "reused");
  return 1;
}

void open_classes(lua_State* L) {
  const luaL_Reg none[] = {{nullptr, nullptr}};
  const luaL_Reg set_metamethods[] = {{"__index", guard<set_index>}, {nullptr, nullptr}};
  const luaL_Reg set_methods[] = {
      {"read", guard<set_read>}, {"verify", guard<set_verify>}, {nullptr, nullptr}};
  new_class<SetObject>(L, set_metamethods, set_methods);
  const luaL_Reg loader_methods[] = {{"next", guard<loader_next>},
                                     {"position", guard<loader_position>},
                                     {"seek", guard<loader_seek>},
                                     {"windows", guard<loader_windows>},
                                     {nullptr, nullptr}};
  new_class<LoaderObject>(L, none, loader_methods);
  const luaL_Reg window_methods[] = {
      {"at", guard<windows_at>}, {"counts", guard<windows_counts>}, {nullptr, nullptr}};
  new_class<WindowsObject>(L, none, window_methods);
  const luaL_Reg writer_methods[] = {
      {"append", guard<writer_append>}, {"finish", guard<writer_finish>}, {nullptr, nullptr}};
  new_class<WriterObject>(L, none, writer_methods);
}

}  // namespace

int open_data(lua_State* L) {
  open_classes(L);
  const luaL_Reg functions[] = {
      {"find_shards", guard<find_shards>}, {"glob", guard<glob_paths>},
      {"token_set", guard<token_set>},     {"loader", guard<loader>},
      {"windows", guard<windows>},         {"shard_writer", guard<shard_writer>},
      {"corpus", guard<corpus>},           {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
