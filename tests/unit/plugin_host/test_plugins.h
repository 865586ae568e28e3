// The plugins of tests/plugins, as they were built.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "../common.h"
#include "gamut/error.h"
#include "plugin_host/registry.h"

namespace gamut::host {

inline std::filesystem::path test_plugins(const std::string& folder) {
  return std::filesystem::path(GAMUT_BUILD_DIR) / "tests/plugins" / folder;
}

// A registry over one or more of their folders, without the installation.
inline std::unique_ptr<Registry> registry_of(std::initializer_list<std::string> folders) {
  SearchPath path;
  for (const auto& folder : folders) path.entries.push_back(test_plugins(folder));
  return std::make_unique<Registry>(std::move(path));
}

using test::error_of;
using test::TemporaryFolder;

}  // namespace gamut::host
