// gamut new KIND NAME: writes a folder with a plugin that builds, trains and conforms.
#include <cstdio>

#include "cli/cli.h"
#include "plugin_host/registry.h"
#include "plugin_host/scaffold.h"

namespace gamut::cli {
namespace {

struct Arguments {
  std::string kind;
  std::string name;
  std::filesystem::path into = ".";
  bool force = false;
};

// Two plugins of one name are an error as soon as a script asks for it.
void check_not_taken(const Arguments& arguments) {
  for (const auto& info : host::registry().list()) {
    GAMUT_CHECK(info.kind != arguments.kind || info.name != arguments.name, "there is a ",
                info.kind, " `", info.name, "` already (", info.path.string(),
                "), and scripts could not tell the two apart; choose another name, or insist with "
                "--force");
  }
}

int write_new(const Arguments& arguments) {
  if (!arguments.force) check_not_taken(arguments);
  const auto folder = host::write_scaffold(arguments.kind, arguments.name, arguments.into);
  std::printf("Wrote %s. Its README.md tells how to build, check and train it.\n", folder.c_str());
  return kSuccess;
}

}  // namespace

void add_new(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("new", "Begin a plugin of your own, in a folder of its own");
  auto arguments = std::make_shared<Arguments>();
  verb->add_option("kind", arguments->kind, "mixer, tokenizer or optimizer")->required();
  verb->add_option("name", arguments->name, "What scripts will call it")->required();
  verb->add_option("--into", arguments->into, "Folder that gets the new one")
      ->capture_default_str();
  verb->add_flag("--force", arguments->force, "Take a name that another plugin has");
  verb->callback(
      [&context, arguments] { context.verb = [arguments] { return write_new(*arguments); }; });
}

}  // namespace gamut::cli
