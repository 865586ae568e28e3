// gamut data VERB: token shards made, fetched and looked into. The verbs are functions of Lua
// modules, which know the data sets and their settings; core/data does the work.
#include "cli/cli.h"

namespace gamut::cli {
namespace {

struct DataVerb {
  const char* name;
  const char* does;
  const char* first;  // of its words; the others are key=value
  const char* words;
  const char* help;
  const char* line;  // of Lua: gets "run" or "help", then the words
  script::OnSignal on_signal;
};

constexpr DataVerb kVerbs[] = {
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

void add_verb(CLI::App& data, Context& context, const DataVerb& which) {
  auto* verb = data.add_subcommand(which.name, which.does);
  auto words = std::make_shared<std::vector<std::string>>();
  auto help = std::make_shared<bool>(false);
  verb->set_help_flag("");  // the module prints it
  verb->add_flag("-h,--help", *help, which.help);
  verb->add_option(which.first, *words, which.words)
      ->expected(0, CLI::detail::expected_max_vector_size);
  verb->callback([words, help, &which, &context] {
    context.verb = [words, help, &which, &context] {
      std::vector<std::string> arguments = {*help ? "help" : "run"};
      arguments.insert(arguments.end(), words->begin(), words->end());
      return run_line(context, which.line, arguments, which.on_signal);
    };
  });
}

}  // namespace

void add_data(CLI::App& app, Context& context) {
  auto* data = app.add_subcommand("data", "Prepare, fetch and inspect data sets");
  data->require_subcommand(1);
  for (const DataVerb& verb : kVerbs) add_verb(*data, context, verb);
}

}  // namespace gamut::cli
