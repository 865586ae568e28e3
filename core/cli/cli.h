// What the verbs of the program share.
//
// A verb is one file: it adds a subcommand whose callback sets Context::verb; main runs that after
// the command line was read, so errors are told and turned into exit codes in one place.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "script/interpreter.h"
#include "script/signals.h"

namespace gamut::cli {

enum ExitCode {
  kSuccess = 0,
  kScriptFailed = 1,      // a script, an experiment or a test raised an error
  kUsage = 2,             // the command line is wrong
  kBadConfiguration = 3,  // a configuration file or key=value is wrong
  kBadPlugin = 4,         // plugins, check: it cannot be found or loaded, or does not conform
};

struct Context {
  std::vector<std::filesystem::path> plugin_path;  // --plugin-path, first searched first
  int threads = 0;                                 // --threads; 0: as LibTorch decides
  bool full_traceback = false;                     // --traceback full
  std::vector<std::string> command;                // the command line as it was given
  std::function<int()> verb;                       // what to run; returns the exit code
};

// Prints a failed script's message and call chain on stderr. Returns the exit code: kScriptFailed,
// or 128 + signal when a signal ended it.
int report(const script::ScriptError& error);

// A remark for the user on stderr.
void remark(const std::string& message);

// Runs one line of Lua that gets `arguments` as `...`; errors are told as report() tells them.
int run_line(const Context& context, const char* line, const std::vector<std::string>& arguments,
             script::OnSignal on_signal = script::OnSignal::raise);

// A verb whose words go to a line of Lua, after "run", or "help" where --help was given.
struct WordVerb {
  const char* name;
  const char* does;
  const char* first;  // of its words; the others are key=value
  const char* words;
  const char* help;
  const char* line;
  script::OnSignal on_signal;
};
// `which` must outlive the program.
void add_word_verb(CLI::App& group, Context& context, const WordVerb& which);

void add_bench(CLI::App& app, Context& context);
void add_check(CLI::App& app, Context& context);
void add_compare(CLI::App& app, Context& context);
void add_convert(CLI::App& app, Context& context);
void add_data(CLI::App& app, Context& context);
void add_exec(CLI::App& app, Context& context);
void add_repl(CLI::App& app, Context& context);
void add_stubs(CLI::App& app, Context& context);
void add_new(CLI::App& app, Context& context);
void add_plugins(CLI::App& app, Context& context);
void add_report(CLI::App& app, Context& context);
void add_run(CLI::App& app, Context& context);
void add_tokenizer(CLI::App& app, Context& context);
void add_tokenizer_train(CLI::App& tokenizer, Context& context);

}  // namespace gamut::cli
