// Opens a plugin's shared library and checks its record.
#pragma once

#include <gamut/plugin.h>

#include <filesystem>

#include "plugin_host/tag.h"

namespace gamut::host {

// Opens the library at `path`, whose tag was read before, checks its record and runs its factory
// function. The library stays open for the life of the process: code that has touched LibTorch
// cannot be unloaded. Throws gamut::Error that names plugin, version, file and what failed.
const Factory& open_plugin(const std::filesystem::path& path, const PluginTag& tag);

}  // namespace gamut::host
