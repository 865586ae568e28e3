// gamut run EXPERIMENT [key=value...]: runs a study headless, in a run folder of its own.
//
// The verb resolves what was asked for into package.loaded["gamut.native.run"], a plain table;
// scripts/gamut/train does the rest.
#include <linux/close_range.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/run_settings.h"
#include "script/signals.h"

namespace gamut::cli {
namespace {

void set_field(lua_State* L, const char* name, const std::string& value) {
  lua_pushlstring(L, value.data(), value.size());
  lua_setfield(L, -2, name);
}

void set_field(lua_State* L, const char* name, const std::vector<std::string>& values) {
  lua_createtable(L, static_cast<int>(values.size()), 0);
  for (size_t i = 0; i < values.size(); ++i) {
    lua_pushlstring(L, values[i].data(), values[i].size());
    lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
  }
  lua_setfield(L, -2, name);
}

void set_field(lua_State* L, const char* name, const std::optional<std::filesystem::path>& path) {
  if (path) set_field(L, name, path->string());
}

// The options before the verb, for a script that starts other runs with the same ones.
std::vector<std::string> program_options(const Context& context) {
  std::vector<std::string> words;
  const auto add = [&](const char* option, const std::string& value) {
    words.insert(words.end(), {option, value});
  };
  std::string folders;
  for (const auto& folder : context.plugin_path) {
    folders += (folders.empty() ? "" : ":") + folder.string();
  }
  if (!folders.empty()) add("--plugin-path", folders);
  if (context.threads > 0) add("--threads", std::to_string(context.threads));
  if (context.full_traceback) add("--traceback", "full");
  return words;
}

void push_settings(lua_State* L, const RunSettings& settings, const Context& context) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_newtable(L);
  set_field(L, "script", settings.script.string());
  set_field(L, "script_dir", std::filesystem::absolute(settings.script).parent_path().string());
  set_field(L, "study", settings.study);
  set_field(L, "config_files", settings.config_files);
  set_field(L, "overrides", settings.overrides);
  set_field(L, "accept", settings.accept);
  set_field(L, "runs_root", settings.runs_root.string());
  set_field(L, "run_dir", settings.run_dir);
  set_field(L, "resume", settings.resume);
  set_field(L, "command", context.command);
  set_field(L, "program_options", program_options(context));
  if (settings.resume_step) {
    lua_pushinteger(L, *settings.resume_step);
    lua_setfield(L, -2, "resume_step");
  }
  lua_pushboolean(L, settings.dry_run);
  lua_setfield(L, -2, "dry_run");
  lua_setfield(L, -2, "gamut.native.run");
  lua_pop(L, 1);
}

// Lets the run's folder tell what ended the run, where there is one. That this may fail too (the
// disk may be full) is no news: the user reads the first error.
void note_failure(lua_State* L, const std::string& message) {
  lua_settop(L, 0);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "gamut.native.run");
  if (lua_getfield(L, -1, "failed") == LUA_TFUNCTION) {
    lua_pushlstring(L, message.data(), message.size());
    lua_pcall(L, 1, 0, 0);
  }
  lua_settop(L, 0);
}

// A study that started this run holds its claim on it through us, too; what we start in turn must
// not hold it longer. Kernels before 5.11 know no such call, and lose no more than that.
void keep_inherited_files_to_ourselves() {
  close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
}

int run(const Context& context, const RunRequest& request) {
  keep_inherited_files_to_ourselves();
  const RunSettings settings = resolve(request);
  script::Interpreter::Options options;
  options.full_traceback = context.full_traceback;
  script::Interpreter interpreter(options);
  push_settings(interpreter.state(), settings, context);
  // The loop asks between steps, checkpoints and leaves; a second signal ends the process.
  script::handle_signals(interpreter.state(), script::OnSignal::note);
  script::ScriptError error;
  if (interpreter.run_file(settings.script, {}, error)) return kSuccess;
  const int code = report(error);
  note_failure(interpreter.state(), error.message);
  return code;
}

// `--resume` may stand without a value, and then swallows a key=value that follows it.
void give_back_swallowed_override(RunRequest& request) {
  if (!request.resume || request.resume->find('=') == std::string::npos) return;
  if (std::filesystem::exists(*request.resume)) return;
  request.overrides.insert(request.overrides.begin(), *request.resume);
  request.resume = "latest";
}

}  // namespace

void add_run(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("run", "Run a study: train, evaluate, report");
  auto request = std::make_shared<RunRequest>();
  verb->add_option("experiment", request->target, "A folder with train.lua, or a script")
      ->required();
  verb->add_option("overrides", request->overrides, "key=value of the configuration")
      ->check([](const std::string& text) {
        return text.find('=') == std::string::npos ? "`" + text + "` is not of the form key=value"
                                                   : std::string();
      });
  verb->add_option("--config", request->config_files,
                   "YAML files on top of the study's config.yaml")
      ->check(CLI::ExistingFile)
      ->expected(1)
      ->allow_extra_args(false)  // what follows is a key=value
      ->take_all();
  verb->add_option("--run-dir", request->run_dir,
                   "The run folder; default runs/<study>/<time>_seed<seed>");
  verb->add_option_function<std::string>(
          "--resume", [request](const std::string& which) { request->resume = which; },
          "Go on with a run: `latest` (the default), a run folder, or one of its checkpoints")
      ->expected(0, 1)
      ->default_str("latest");
  verb->add_option(
          "--accept", request->accept,
          "Changes that a resumed run may have: a configuration key, `data`, `plugin:NAME`,\n"
          "`run.json` (lost or damaged), or `all`")
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  verb->add_flag("--dry-run", request->dry_run,
                 "Build everything, do two steps, print parameters, memory and time, and stop");
  verb->callback([request, &context] {
    give_back_swallowed_override(*request);
    context.verb = [&context, request] { return run(context, *request); };
  });
}

}  // namespace gamut::cli
