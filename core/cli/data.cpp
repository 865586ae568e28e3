// gamut data VERB: token shards made, fetched and looked into. The verbs are functions of Lua
// modules, which know the data sets and their settings; core/data does the work.
#include "cli/cli.h"

namespace gamut::cli {
namespace {

constexpr WordVerb kVerbs[] = {
    {"prepare", "Turn raw data into token shards", "set",
     "A set's name, or a recipe of your own (my_set.lua); then key=value",
     "The sets, or the settings of the one that is named", "require 'gamut.data.prepare'(...)",
     script::OnSignal::note},
    {"fetch", "Fetch a data set from its public home", "source",
     "A source's name, or a URL; then key=value",
     "The sources, or the settings of the one that is named", "require 'gamut.data.fetch'(...)",
     script::OnSignal::note},
    {"inspect", "Look into shards, decode a stretch of them", "file",
     "A shard, or a prepared folder; then key=value", "The settings",
     "require 'gamut.data.inspect'(...)", script::OnSignal::raise}};

}  // namespace

void add_data(CLI::App& app, Context& context) {
  auto* data = app.add_subcommand("data", "Prepare, fetch and inspect data sets");
  data->require_subcommand(1);
  for (const WordVerb& verb : kVerbs) add_word_verb(*data, context, verb);
}

}  // namespace gamut::cli
