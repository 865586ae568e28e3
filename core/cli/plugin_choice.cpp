// From the command line to one plugin, and a child process to open it in.
#include "cli/plugin_choice.h"

#include <cstdio>

#include "text/nearest.h"

namespace gamut::cli {
namespace {

bool is_file(const std::string& plugin) {
  return plugin.find('/') != std::string::npos ||
         (plugin.size() > 3 && plugin.compare(plugin.size() - 3, 3, ".so") == 0);
}

host::PluginInfo file_info(const std::filesystem::path& path) {
  const auto tag = host::read_tag(path);
  GAMUT_CHECK(tag, "`", path.string(), "` is a shared library but not a Gamut plugin; end its ",
              "source with GAMUT_MIXER, GAMUT_TOKENIZER or GAMUT_OPTIMIZER");
  return {tag->kind,
          tag->name,
          tag->version,
          tag->description,
          std::filesystem::canonical(path),
          host::why_refused(*tag, path)};
}

}  // namespace

void PluginChoice::add_to(CLI::App& verb, int default_timeout) {
  timeout = default_timeout;
  verb.add_option("plugin", plugin, "Name of a plugin, or path of its file")->required();
  verb.add_option("--kind", kind, "Where two kinds have a plugin of that name")
      ->check(CLI::IsMember({"mixer", "tokenizer", "optimizer"}));
  verb.add_option("--timeout", timeout, "Seconds after which the plugin is given up")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

host::PluginInfo PluginChoice::resolve(host::Registry& registry) const {
  if (is_file(plugin)) return file_info(plugin);
  std::vector<std::string> kinds, known;
  for (const auto& info : registry.list()) {
    if (!kind.empty() && info.kind != kind) continue;
    known.push_back(info.name);
    if (info.name != plugin) continue;
    if (std::find(kinds.begin(), kinds.end(), info.kind) == kinds.end()) kinds.push_back(info.kind);
  }
  GAMUT_CHECK(kinds.size() < 2, "`", plugin, "` is the name of a ", kinds.front(), " and of a ",
              kinds.back(), "; say which with --kind");
  GAMUT_CHECK(!kinds.empty(), "unknown plugin `", plugin, "`", text::did_you_mean(plugin, known));
  return registry.find(kinds.front(), plugin);
}

int PluginChoice::in_child(const host::PluginInfo& info,
                           const std::function<int(host::LastOperation&)>& body) const {
  const auto result = host::run_in_child(
      [&](host::LastOperation& operation) {
        return telling_errors([&] { return body(operation); });
      },
      timeout);
  if (result.problem.empty()) return result.exit_code;
  std::fprintf(stderr, "gamut: the %s `%s` (%s) failed: %s\n", info.kind.c_str(), info.name.c_str(),
               info.path.c_str(), result.problem.c_str());
  return kBadPlugin;
}

int telling_errors(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "gamut: %s\n", error.what());
    return kBadPlugin;
  }
}

std::string reference(const host::PluginInfo& info) {
  return info.path.empty() ? info.name : info.path.string();
}

}  // namespace gamut::cli
