// gamut.native.prepare: raw data to token shards, for scripts/gamut/data/prepare.lua.
//
//   prepare.walk(folder, {".wav", ...}) -> names of the files below it that end so, sorted
//   prepare.read_text(path) -> the text of a file, plain or gzip
//   prepare.split_position(name, seed) -> a number in [0, 1) that only the two decide
//   prepare.settings(declared options, {"key=value", ...}, "the data set `ljspeech`") -> table
//   prepare.tokenizer_settings(tokenizer's name, {"key=value", ...}) -> table
//   prepare.text_units{files =, field =, unit_bytes =, validation_documents =} -> items
//   prepare.fingerprint(items) -> 32 digits, of what the items are and of their files' sizes and
//   times prepare.train_tokenizer{tokenizer =, input =, output =, field =, options =}
//   prepare.run{items =, kind =, out =, tokenizer =, ...} -> manifest, whether it was there already
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "data/corpus_split.h"
#include "data/documents.h"
#include "data/prepare/audio_work.h"
#include "data/prepare/plan.h"
#include "data/prepare/prepare.h"
#include "data/prepare/text_units.h"
#include "data/prepare/text_work.h"
#include "data/prepare/walk.h"
#include "files/hash.h"
#include "plugin_host/options_check.h"
#include "plugin_host/registry.h"
#include "script/json.h"
#include "script/option_values.h"
#include "script/signals.h"
#include "script/table_fields.h"
#include "script/train_tokenizer.h"
#include "telemetry/progress.h"

namespace gamut::script {
namespace {

std::vector<std::string> check_strings(lua_State* L, int index) {
  luaL_checktype(L, index, LUA_TTABLE);
  std::vector<std::string> strings;
  for (lua_Integer i = 1; lua_rawgeti(L, index, i) != LUA_TNIL; ++i, lua_pop(L, 1)) {
    GAMUT_CHECK(lua_type(L, -1) == LUA_TSTRING, "a list of strings has a ", luaL_typename(L, -1),
                " in it");
    strings.emplace_back(lua_tostring(L, -1), lua_rawlen(L, -1));
  }
  lua_pop(L, 1);
  return strings;
}

// prepare.walk(folder, endings) -> list of names with `/`, sorted.
int walk(lua_State* L) {
  const auto names = data::walk_files(luaL_checkstring(L, 1), check_strings(L, 2));
  lua_createtable(L, static_cast<int>(names.size()), 0);
  for (size_t i = 0; i < names.size(); ++i) {
    lua_pushlstring(L, names[i].data(), names[i].size());
    lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
  }
  return 1;
}

// prepare.read_text(path) -> the text of a file, unpacked where it is gzip.
int read_text(lua_State* L) {
  const char* path = luaL_checkstring(L, 1);
  data::DocumentReader reader({path, path, 0, 0});
  std::string text;
  for (std::string piece = reader.read(1 << 20); !piece.empty(); piece = reader.read(1 << 20)) {
    text += piece;
  }
  lua_pushlstring(L, text.data(), text.size());
  return 1;
}

// prepare.split_position(name, seed) -> [0, 1).
int split_position(lua_State* L) {
  lua_pushnumber(L, data::split_position(luaL_checkstring(L, 1),
                                         static_cast<uint64_t>(luaL_optinteger(L, 2, 0))));
  return 1;
}

// "key=value" words as values of the table's types.
OptionMap parse_words(const OptionTable& table, const std::vector<std::string>& words,
                      const std::string& context) {
  OptionMap values;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const auto spec = std::find_if(table.begin(), table.end(),
                                   [&](const OptionSpec& known) { return known.name == name; });
    std::vector<std::string> names;
    for (const OptionSpec& known : table) names.push_back(known.name);
    GAMUT_CHECK(spec != table.end(), context, " has no setting `", name, "`",
                text::did_you_mean(name, names));
    GAMUT_CHECK(!values.count(name), "`", name, "` is given twice");
    values[name] = host::parse_option(*spec, word.substr(equals + 1), context);
  }
  return values;
}

// prepare.settings(table, words, context) -> every declared option with its value or default.
int settings(lua_State* L) {
  const std::string context = luaL_checkstring(L, 3);
  const OptionTable table = to_option_table(L, 1, context);
  const OptionMap given = parse_words(table, check_strings(L, 2), context);
  push_option_map(L, host::check_options(table, given, context).values());
  return 1;
}

// prepare.tokenizer_settings(name, words) -> the options that were given.
int tokenizer_settings(lua_State* L) {
  const std::string name = luaL_checkstring(L, 1);
  push_option_map(L, parse_words(host::registry().options("tokenizer", name), check_strings(L, 2),
                                 "the tokenizer `" + name + "`"));
  return 1;
}

// prepare.text_units{files = {{path =, name =}, ...}, field =, unit_bytes =,
// validation_documents =} -> items: ranges of documents, in the order of the files.
int text_units(lua_State* L) {
  check_fields(L, 1, "prepare.text_units",
               {"files", "field", "unit_bytes", "validation_documents"});
  data::TextUnitOptions options;
  options.field = string_field(L, 1, "field", options.field);
  options.unit_bytes = integer_field(L, 1, "unit_bytes", options.unit_bytes);
  options.validation_documents = integer_field(L, 1, "validation_documents", 0);
  push_field(L, 1, "files");
  luaL_checktype(L, -1, LUA_TTABLE);
  std::vector<data::TextFileName> files;
  for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; ++i, lua_pop(L, 1)) {
    const int file = lua_gettop(L);
    files.push_back({string_field(L, file, "path", ""), string_field(L, file, "name", "")});
  }
  const auto units = data::list_text_units(files, options);
  lua_createtable(L, static_cast<int>(units.size()), 0);
  for (size_t i = 0; i < units.size(); ++i) {
    nlohmann::json item = {{"name", units[i].name},
                           {"path", units[i].path.string()},
                           {"weight", units[i].weight},
                           {"facts", nlohmann::json::parse(units[i].facts)}};
    if (!units[i].split.empty()) item["split"] = units[i].split;
    push_json(L, item, NonFinite::refuse);
    lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
  }
  return 1;
}

// The item on top of the stack: {name =, path =, split =, facts = {...}}.
data::Unit to_unit(lua_State* L) {
  const int item = lua_gettop(L);
  GAMUT_CHECK(lua_istable(L, item), "an item is {name =, path =, split =}, not a ",
              luaL_typename(L, item));
  check_fields(L, item, "an item", {"name", "path", "split", "facts", "weight"});
  data::Unit unit;
  unit.name = string_field(L, item, "name", "");
  unit.path = string_field(L, item, "path", "");
  unit.split = string_field(L, item, "split", "");
  unit.weight = static_cast<uint64_t>(integer_field(L, item, "weight", 0));
  GAMUT_CHECK(!unit.name.empty() && !unit.path.empty(), "an item of the data set has no `",
              unit.name.empty() ? "name" : "path", "`");
  if (push_field(L, item, "facts")) {
    unit.facts = json_from_lua(L, -1, NonFinite::refuse, "facts of " + unit.name)
                     .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  lua_settop(L, item);
  return unit;
}

// The list at the top of the stack.
std::vector<data::Unit> to_units(lua_State* L) {
  luaL_checktype(L, -1, LUA_TTABLE);
  const int items = lua_gettop(L);
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, items));
  std::vector<data::Unit> units;
  units.reserve(static_cast<size_t>(count));
  for (lua_Integer i = 1; i <= count; ++i, lua_pop(L, 1)) {
    lua_rawgeti(L, items, i);
    units.push_back(to_unit(L));
  }
  return units;
}

// prepare.fingerprint(items) -> what two calls have in common when nothing was added, removed or
// written to in between.
int fingerprint(lua_State* L) {
  lua_settop(L, 1);
  std::vector<data::Unit> units = to_units(L);
  data::complete_units(units);
  std::string all;
  for (const auto& unit : units) all += data::fingerprint(unit);
  lua_pushstring(L, files::xxh3_hex(all.data(), all.size()).c_str());
  return 1;
}

// prepare.train_tokenizer{tokenizer =, input = {PATH, ...}, output = FILE, field =, options =,
// replace =}
int train_tokenizer(lua_State* L) {
  check_fields(L, 1, "prepare.train_tokenizer",
               {"tokenizer", "input", "output", "field", "options", "replace"});
  TokenizerTraining training;
  training.tokenizer = string_field(L, 1, "tokenizer", "");
  push_field(L, 1, "input");
  for (auto& path : check_strings(L, lua_gettop(L))) training.inputs.emplace_back(std::move(path));
  lua_pop(L, 1);
  training.output = string_field(L, 1, "output", "");
  training.field = string_field(L, 1, "field", training.field);
  push_field(L, 1, "options");
  training.options = to_option_map(L, -1, "training of the tokenizer `" + training.tokenizer + "`");
  training.replace = boolean_field(L, 1, "replace", false);
  train_tokenizer(training);
  return 0;
}

struct MadeTokenizer {
  std::unique_ptr<Tokenizer> tokenizer;
  data::TokenizerRecord record;
};

// `tokenizer` and `tokenizer_options` of the table.
MadeTokenizer make_tokenizer(lua_State* L, int table) {
  const std::string name = string_field(L, table, "tokenizer", "");
  push_field(L, table, "tokenizer_options");
  const OptionMap options = to_option_map(L, -1, "tokenizer `" + name + "`");
  lua_pop(L, 1);
  MadeTokenizer made;
  made.tokenizer = host::registry().create_tokenizer(name, options);
  made.record = data::TokenizerRecord::of(
      *made.tokenizer, name, host::registry().find("tokenizer", name).version, options);
  return made;
}

std::unique_ptr<data::UnitWork> make_work(lua_State* L, int table, MadeTokenizer& made) {
  const std::string kind = string_field(L, table, "kind", "");
  if (kind == "audio") {
    data::AudioWorkOptions options;
    options.min_seconds = number_field(L, table, "min_seconds", options.min_seconds);
    options.max_seconds = number_field(L, table, "max_seconds", options.max_seconds);
    options.min_peak = number_field(L, table, "min_peak", options.min_peak);
    options.accept_truncated = boolean_field(L, table, "accept_truncated", false);
    return std::make_unique<data::AudioWork>(*made.tokenizer, made.record, options);
  }
  GAMUT_CHECK(kind == "text", "a data set is of the kind `audio` or `text`, not `", kind, "`");
  data::TextWorkOptions options;
  options.tokenizer = made.record;
  options.validation = number_field(L, table, "validation", 0);
  options.seed = static_cast<uint64_t>(integer_field(L, table, "seed", 0));
  options.shard_tokens = integer_field(L, table, "shard_tokens", options.shard_tokens);
  options.prefix = string_field(L, table, "prefix", "");
  return std::make_unique<data::TextWork>(*made.tokenizer, options);
}

// The line on the terminal: a bar over the bytes of the source, then items and rates.
class Line {
 public:
  void show(const data::PrepareProgress& at) {
    if (!progress_) begin(at);
    telemetry::ProgressUpdate update;
    update.step = static_cast<int64_t>(at.weight_done / scale_);
    if (at.units_done == at.units) update.step = total_;
    update.extras.emplace_back("items", c10::str(at.units_done, "/", at.units));
    if (at.units_skipped > 0) update.extras.emplace_back("skipped", c10::str(at.units_skipped));
    const double minutes = (clock_() - begun_) / 60;
    if (minutes > 0 && at.seconds > 0) {
      update.extras.emplace_back("hours of audio/min", two_digits(at.seconds / 3600 / minutes));
    } else if (minutes > 0 && at.tokens > 0) {
      update.tokens_per_second = static_cast<double>(at.tokens) / (60 * minutes);
    }
    progress_->update(update);
  }
  void finish() {
    if (progress_) progress_->finish();
  }

 private:
  void begin(const data::PrepareProgress& at) {
    telemetry::ProgressPlan plan;
    scale_ = at.weight < 1e8 ? 1e3 : 1e6;
    plan.unit = at.weight < 1e8 ? "kB" : "MB";
    total_ = std::max<int64_t>(1, static_cast<int64_t>(at.weight / scale_));
    plan.total_steps = total_;
    progress_.emplace(plan, telemetry::ProgressOutput::standard_error());
  }
  static std::string two_digits(double value) {
    char text[32];
    std::snprintf(text, sizeof text, value < 10 ? "%.2f" : "%.0f", value);
    return text;
  }

  std::function<double()> clock_ = telemetry::ProgressOutput::standard_error().clock;
  double begun_ = clock_();
  double scale_ = 1;
  int64_t total_ = 1;
  std::optional<telemetry::Progress> progress_;
};

data::PrepareOptions to_options(lua_State* L, int table, size_t units) {
  data::PrepareOptions options;
  options.out = string_field(L, table, "out", "");
  GAMUT_CHECK(!options.out.empty(), "prepare.run needs `out`, the folder to write");
  const int64_t cores = at::get_num_threads();
  const int64_t workers = integer_field(L, table, "workers", 0);
  options.workers = static_cast<int>(workers > 0 ? workers : cores);
  // Fewer units than cores: each worker takes several of them.
  const auto busy = std::min<int64_t>(options.workers, static_cast<int64_t>(units));
  options.threads = static_cast<int>(std::max<int64_t>(1, cores / std::max<int64_t>(1, busy)));
  options.max_skipped = number_field(L, table, "max_skipped", options.max_skipped);
  options.retry_skipped = boolean_field(L, table, "retry_skipped", false);
  push_field(L, table, "request");
  options.request = json_from_lua(L, -1, NonFinite::refuse, "request");
  lua_pop(L, 1);
  return options;
}

// prepare.run(table) -> manifest, already.
int run(lua_State* L) {
  check_fields(L, 1, "prepare.run",
               {"items", "kind", "out", "tokenizer", "tokenizer_options", "request", "workers",
                "max_skipped", "retry_skipped", "min_seconds", "max_seconds", "min_peak",
                "accept_truncated", "validation", "seed", "shard_tokens", "prefix"});
  lua_settop(L, 1);
  push_field(L, 1, "items");
  std::vector<data::Unit> units = to_units(L);
  lua_pop(L, 1);
  MadeTokenizer made = make_tokenizer(L, 1);
  const auto work = make_work(L, 1, made);
  data::PrepareOptions options = to_options(L, 1, units.size());
  Line line;
  options.progress = [&](const data::PrepareProgress& at) { line.show(at); };
  options.stop = [] { return interrupted() != nullptr; };
  options.note = [](const std::string& text) { std::fprintf(stderr, "gamut: %s\n", text.c_str()); };
  data::Prepared prepared;
  try {
    prepared = data::prepare(std::move(units), *work, options);
    line.finish();
  } catch (const data::Interrupted&) {
    line.finish();
    throw Error("stopped; what is finished is kept in " + options.out.string() +
                ", and the same command goes on from there");
  } catch (...) {
    line.finish();
    throw;
  }
  push_json(L, prepared.manifest, NonFinite::refuse);
  lua_pushboolean(L, prepared.already);
  return 2;
}

}  // namespace

int open_prepare(lua_State* L) {
  const luaL_Reg functions[] = {{"walk", guard<walk>},
                                {"read_text", guard<read_text>},
                                {"split_position", guard<split_position>},
                                {"settings", guard<settings>},
                                {"text_units", guard<text_units>},
                                {"tokenizer_settings", guard<tokenizer_settings>},
                                {"fingerprint", guard<fingerprint>},
                                {"train_tokenizer", guard<train_tokenizer>},
                                {"run", guard<run>},
                                {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
