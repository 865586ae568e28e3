// The program: reads the command line, runs one verb. See the other files of this folder.
#include <ATen/Parallel.h>
#include <c10/util/StringUtil.h>
#include <gamut/error.h>
#include <torch/headeronly/version.h>

#include <cstdio>

#include "cli/cli.h"
#include "plugin_host/registry.h"
#include "script/cuda.h"
#include "script/lua.h"
#include "script/signals.h"
#include "script/tensor_allocator.h"
#include "text/nearest.h"

namespace gamut::cli {

int report(const script::ScriptError& error) {
  std::fflush(stdout);
  std::fprintf(stderr, "gamut: %s\n", error.message.c_str());
  if (!error.traceback.empty()) {
    std::fprintf(stderr, "  called from\n%s", error.traceback.c_str());
  }
  const int code = script::interrupt_exit_code();
  return code ? code : kScriptFailed;
}

void remark(const std::string& message) {
  if (!message.empty()) std::fprintf(stderr, "gamut: %s\n", message.c_str());
}

namespace {

void add_global_options(CLI::App& app, Context& context) {
  app.set_version_flag(
      "--version",
      [] {
        return "gamut " GAMUT_VERSION " with LibTorch " TORCH_VERSION "\n" +
               script::describe_cuda();
      },
      "What this program is, and what it found of CUDA");
  app.add_option("--plugin-path", context.plugin_path,
                 "Folders searched for plugins before GAMUT_PLUGIN_PATH and the installation")
      ->delimiter(':');
  app.add_option("--threads", context.threads, "Threads that an operator may use")
      ->check([](const std::string& text) {
        int count = 0;
        const bool fits = CLI::detail::lexical_cast(text, count) && count >= 1;
        return fits ? std::string() : "`" + text + "` is not a number of threads; 1 or more are";
      });
  app.add_option_function<std::string>(
         "--traceback", [&](const std::string& how) { context.full_traceback = how == "full"; },
         "`full` shows every Lua frame and the C++ stack of LibTorch's errors")
      ->check(CLI::IsMember({"short", "full"}));
  app.require_subcommand(1);
  app.fallthrough(false);
  app.footer(
      "Exit codes: 0 success, 1 script failed, 2 usage, 3 configuration, 4 plugin (of plugins\n"
      "and check), "
      "130 and 143 ended by SIGINT and SIGTERM.");
}

// The verb that the command line reached, or the program where it named none.
const CLI::App* reached(const CLI::App* app) {
  for (const auto* verb = app; verb;) {
    const auto verbs = verb->get_subcommands();
    if (verbs.empty()) return verb;
    verb = verbs.front();
  }
  return app;
}

// What nothing on the command line takes, with the nearest name that there is; "" if all is known.
std::string unknown_word(const CLI::App& app) {
  const std::string name = app.get_display_name();
  for (const std::string& word : app.remaining()) {
    const bool is_option = word.size() > 1 && word[0] == '-';
    std::vector<std::string> known;
    if (is_option) {
      for (const auto* option : app.get_options()) {
        if (!option->get_lnames().empty()) known.push_back("--" + option->get_lnames().front());
      }
    } else {
      for (const auto* verb : app.get_subcommands({})) known.push_back(verb->get_name());
      if (known.empty()) continue;
    }
    const std::string unknown = is_option ? word.substr(0, word.find('=')) : word;
    return c10::str("`", name, "` has no ", is_option ? "option" : "verb", " `", unknown, "`",
                    text::did_you_mean(unknown, known));
  }
  return "";
}

std::string usage_message(const CLI::App* program, const CLI::Error& error) {
  const CLI::App* app = reached(program);
  std::string path;
  for (const auto* up = app; up; up = up->get_parent()) path = up->get_name() + " " + path;
  std::string message = unknown_word(*app);
  if (message.empty()) message = error.what();
  return c10::str("gamut: ", message, "\n`", path, "--help` shows what it takes.\n");
}

int run(int argc, char** argv) {
  Context context;
  context.command.assign(argv, argv + argc);
  CLI::App app{"Gamut: a research platform for long-sequence models.", "gamut"};
  add_global_options(app, context);
  add_exec(app, context);
  add_repl(app, context);
  add_stubs(app, context);
  add_plugins(app, context);
  add_check(app, context);
  add_new(app, context);
  add_run(app, context);
  add_data(app, context);
  add_report(app, context);
  add_compare(app, context);
  add_tokenizer(app, context);
  add_convert(app, context);
  add_bench(app, context);
  app.failure_message(usage_message);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool is_help = error.get_exit_code() == 0;
    if (is_help && !unknown_word(*reached(&app)).empty()) {  // help on what there is not
      std::fputs(usage_message(&app, error).c_str(), stderr);
      return kUsage;
    }
    return app.exit(error) == 0 ? kSuccess : kUsage;
  }
  host::configure(host::SearchPath::standard(context.plugin_path));
  if (context.threads > 0) at::set_num_threads(context.threads);
  remark(script::open_cuda());
  return context.verb();
}

}  // namespace
}  // namespace gamut::cli

int main(int argc, char** argv) {
  try {
    gamut::script::use_tensor_allocator();
    return gamut::cli::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gamut: %s\n", gamut::script::message_of(error).c_str());
    return gamut::cli::kScriptFailed;
  }
}
