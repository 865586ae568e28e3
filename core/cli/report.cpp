// gamut report RUN_DIR: writes report.html of a run folder, also of one that is still going or has
// crashed. gamut compare RUN_DIR RUN_DIR...: one page with several runs side by side.
#include <cstring>

#include "cli/cli.h"
#include "script/signals.h"

namespace gamut::cli {
namespace {

// Runs one line of Lua that gets `arguments` as `...`.
int run_line(const Context& context, const char* line, const std::vector<std::string>& arguments) {
  script::Interpreter::Options options;
  options.full_traceback = context.full_traceback;
  script::Interpreter interpreter(options);
  lua_State* L = interpreter.state();
  script::handle_signals(L, script::OnSignal::raise);
  luaL_loadbuffer(L, line, std::strlen(line), "=gamut");
  luaL_checkstack(L, static_cast<int>(arguments.size()), "too many runs");
  for (const std::string& argument : arguments) {
    lua_pushlstring(L, argument.data(), argument.size());
  }
  script::ScriptError error;
  const bool done = interpreter.call(static_cast<int>(arguments.size()), 0, error);
  // The chain of calls would be the library's own; the user has no script here.
  if (!context.full_traceback) error.traceback.clear();
  return done ? kSuccess : report(error);
}

}  // namespace

void add_report(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("report", "Write report.html of a run folder again");
  auto folder = std::make_shared<std::string>();
  verb->add_option("run_dir", *folder, "The run folder")->required();
  verb->callback([folder, &context] {
    context.verb = [folder, &context] {
      return run_line(context, "print((require 'gamut.report'.write(...)))", {*folder});
    };
  });
}

void add_compare(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("compare", "Compare runs: settings that differ, results, curves");
  auto folders = std::make_shared<std::vector<std::string>>();
  auto output = std::make_shared<std::string>("compare.html");
  verb->add_option("run_dirs", *folders, "Two to eight run folders; the first is the base")
      ->required()
      ->expected(2, 8);
  verb->add_option("-o,--output", *output, "The page to write")->capture_default_str();
  verb->callback([folders, output, &context] {
    context.verb = [folders, output, &context] {
      std::vector<std::string> arguments = {*output};
      arguments.insert(arguments.end(), folders->begin(), folders->end());
      return run_line(context, "require 'gamut.report.compare'(...)", arguments);
    };
  });
}

}  // namespace gamut::cli
