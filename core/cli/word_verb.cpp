// A verb whose words a Lua module reads: a first one that says what, then key=value.
#include "cli/cli.h"

namespace gamut::cli {

void add_word_verb(CLI::App& group, Context& context, const WordVerb& which) {
  auto* verb = group.add_subcommand(which.name, which.does);
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

}  // namespace gamut::cli
