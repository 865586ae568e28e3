// gamut stubs [--out DIR]: declarations for the Lua language server, so that an editor completes
// and checks scripts.
#include "script/stubs.h"

#include <gamut/error.h>

#include <fstream>

#include "cli/cli.h"

namespace gamut::cli {
namespace {

namespace fs = std::filesystem;

void write_file(const fs::path& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  out.flush();
  GAMUT_CHECK(out.good(), "cannot write ", path.string());
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path);
  GAMUT_CHECK(in.good(), "cannot read ", path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string quoted(const fs::path& path) {
  std::string text = "\"";
  for (char c : path.string()) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + "\"";
}

// Lets the language server find stubs and library from the folder that it is started in.
void write_settings(const fs::path& stubs, const fs::path& scripts) {
  const fs::path file = ".luarc.json";
  if (fs::exists(file)) {
    std::printf("kept your %s; its \"workspace.library\" should list %s and %s\n", file.c_str(),
                stubs.c_str(), scripts.c_str());
    return;
  }
  write_file(file, "{\n  \"runtime.version\": \"Lua 5.4\",\n  \"workspace.library\": [" +
                       quoted(stubs) + ", " + quoted(scripts) +
                       "],\n  \"workspace.checkThirdParty\": false\n}\n");
  std::printf("wrote %s\n", file.c_str());
}

int stubs(const fs::path& folder) {
  const fs::path scripts = script::find_scripts();
  std::error_code error;
  fs::create_directories(folder, error);
  GAMUT_CHECK(!error, "cannot make the folder ", folder.string(), ": ", error.message());
  write_file(folder / "gamut.lua", read_file(scripts / "gamut" / "meta.lua"));
  write_file(folder / "operators.lua", script::operator_stubs());
  write_file(folder / "plugins.lua", script::plugin_stubs());
  std::printf("wrote gamut.lua, operators.lua and plugins.lua to %s\n", folder.c_str());
  write_settings(fs::absolute(folder).lexically_normal(), scripts);
  return kSuccess;
}

}  // namespace

void add_stubs(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("stubs", "Write declarations for editors, and .luarc.json");
  auto folder = std::make_shared<std::string>("stubs");
  verb->add_option("--out", *folder, "The folder to write to")->capture_default_str();
  verb->callback([folder, &context] { context.verb = [folder] { return stubs(*folder); }; });
}

}  // namespace gamut::cli
