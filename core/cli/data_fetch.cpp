// gamut data fetch SOURCE|URL out=FOLDER [key=value...]: files of a data set from their public
// home. scripts/gamut/data/fetch.lua knows the sources; core/data/fetch does the work.
#include "cli/cli.h"

namespace gamut::cli {

void add_data_fetch(CLI::App& data, Context& context) {
  auto* verb = data.add_subcommand("fetch", "Fetch a data set from its public home");
  auto words = std::make_shared<std::vector<std::string>>();
  auto help = std::make_shared<bool>(false);
  // Which sources and settings there are is said in Lua.
  verb->set_help_flag("");
  verb->add_flag("-h,--help", *help, "The sources, or the settings of the one that is named");
  verb->add_option("source", *words, "A source's name, or a URL; then key=value")
      ->expected(0, CLI::detail::expected_max_vector_size);
  verb->callback([words, help, &context] {
    context.verb = [words, help, &context] {
      std::vector<std::string> arguments = {*help ? "help" : "run"};
      arguments.insert(arguments.end(), words->begin(), words->end());
      return run_line(context, "require 'gamut.data.fetch'(...)", arguments,
                      script::OnSignal::note);
    };
  });
}

}  // namespace gamut::cli
