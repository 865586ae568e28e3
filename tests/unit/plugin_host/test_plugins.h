// The plugins of tests/plugins, as they were built.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>

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

// The message of the gamut::Error that `call` throws; "" when it throws none.
inline std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// A folder that is gone after the test.
struct TemporaryFolder {
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "gamut-test-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

}  // namespace gamut::host
