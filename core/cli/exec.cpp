// gamut exec SCRIPT [ARGUMENTS...]: runs any Lua script with the gamut library, without a run
// folder.
#include "cli/cli.h"
#include "script/signals.h"

namespace gamut::cli {
namespace {

struct Arguments {
  std::string script;
};

int exec(const Context& context, const std::string& script,
         const std::vector<std::string>& arguments) {
  script::Interpreter::Options options;
  options.full_traceback = context.full_traceback;
  script::Interpreter interpreter(options);
  script::handle_signals(interpreter.state(), script::OnSignal::raise);
  script::ScriptError error;
  return interpreter.run_file(script, arguments, error) ? kSuccess : report(error);
}

}  // namespace

void add_exec(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("exec", "Run a Lua script with the gamut library");
  auto arguments = std::make_shared<Arguments>();
  verb->add_option("script", arguments->script, "The script; what follows it is its own, as `arg`")
      ->required();
  verb->prefix_command();
  verb->callback([verb, arguments, &context] {
    context.verb = [&context, arguments, rest = verb->remaining()] {
      return exec(context, arguments->script, rest);
    };
  });
}

}  // namespace gamut::cli
