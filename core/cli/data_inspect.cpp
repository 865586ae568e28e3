// gamut data inspect FILE [key=value...]: what a shard or a prepared folder holds, and a stretch of
// it as audio or text. scripts/gamut/data/inspect.lua does it.
#include "cli/cli.h"

namespace gamut::cli {

void add_data_inspect(CLI::App& data, Context& context) {
  auto* verb = data.add_subcommand("inspect", "Look into shards, decode a stretch of them");
  auto words = std::make_shared<std::vector<std::string>>();
  auto help = std::make_shared<bool>(false);
  verb->set_help_flag("");
  verb->add_flag("-h,--help", *help, "The settings");
  verb->add_option("file", *words, "A shard, or a prepared folder; then key=value")
      ->expected(0, CLI::detail::expected_max_vector_size);
  verb->callback([words, help, &context] {
    context.verb = [words, help, &context] {
      std::vector<std::string> arguments = {*help ? "help" : "run"};
      arguments.insert(arguments.end(), words->begin(), words->end());
      return run_line(context, "require 'gamut.data.inspect'(...)", arguments);
    };
  });
}

}  // namespace gamut::cli
