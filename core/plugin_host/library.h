// Opens a plugin's shared library and checks its record.
#pragma once

#include <gamut/plugin.h>

#include <filesystem>

#include "plugin_host/tag.h"

namespace gamut::host {

// What an open library offers.
struct OpenPlugin {
  const Factory* factory = nullptr;          // never null
  void* (*query)(const char* id) = nullptr;  // null for a plugin of SDK 1.1 or older
};

// Opens the library at `path`, whose tag was read before, checks its record and runs its factory
// function. The library stays open for the life of the process: code that has touched LibTorch
// cannot be unloaded. Throws gamut::Error that names plugin, version, file and what failed.
OpenPlugin open_plugin(const std::filesystem::path& path, const PluginTag& tag);

}  // namespace gamut::host
