// Which plugin a verb was asked about: a name, with --kind where two kinds share it, or a file.
#pragma once

#include <functional>
#include <string>

#include "cli/cli.h"
#include "plugin_host/child.h"
#include "plugin_host/registry.h"

namespace gamut::cli {

struct PluginChoice {
  std::string plugin;
  std::string kind;
  int timeout = 0;  // seconds that the child process may take

  void add_to(CLI::App& verb, int default_timeout);

  // The plugin meant, not opened yet. Throws gamut::Error when there is none or a kind is needed.
  host::PluginInfo resolve(host::Registry& registry) const;

  // Runs `body` in a child process, which a broken plugin may crash. Returns the exit code;
  // a crash or a timeout is told on stderr.
  int in_child(const host::PluginInfo& info,
               const std::function<int(host::LastOperation&)>& body) const;
};

// Runs `body`; a gamut::Error is told on stderr and gives kBadPlugin.
int telling_errors(const std::function<int()>& body);

// How a registry names the plugin unambiguously: by its file, or what a script called it.
std::string reference(const host::PluginInfo& info);

}  // namespace gamut::cli
