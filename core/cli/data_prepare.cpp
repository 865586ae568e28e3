// gamut data prepare SET [key=value...]: raw data to token shards. scripts/gamut/data/prepare.lua
// finds the set's recipe and checks the settings; core/data/prepare does the work.
#include "cli/cli.h"

namespace gamut::cli {

void add_data_prepare(CLI::App& data, Context& context) {
  auto* verb = data.add_subcommand("prepare", "Turn raw data into token shards");
  auto words = std::make_shared<std::vector<std::string>>();
  auto help = std::make_shared<bool>(false);
  // Which sets and settings there are is the recipes' to say, and those are Lua.
  verb->set_help_flag("");
  verb->add_flag("-h,--help", *help, "The sets, or the settings of the one that is named");
  verb->add_option("set", *words,
                   "A set's name, or a recipe of your own (my_set.lua); then key=value")
      ->expected(0, CLI::detail::expected_max_vector_size);
  verb->callback([words, help, &context] {
    context.verb = [words, help, &context] {
      std::vector<std::string> arguments = {*help ? "help" : "run"};
      arguments.insert(arguments.end(), words->begin(), words->end());
      return run_line(context, "require 'gamut.data.prepare'(...)", arguments,
                      script::OnSignal::note);
    };
  });
}

}  // namespace gamut::cli
