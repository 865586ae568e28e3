// Where plugins are looked for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gamut::host {

// The folder that holds bin/ with the running program, lib/ and share/: an installation or a build
// tree, which have the same layout.
std::filesystem::path installation_folder();

// Folders and files in which plugins are looked for, in order. A folder holds libraries itself or
// in mixer/, tokenizer/ and optimizer/ below it.
struct SearchPath {
  std::vector<std::filesystem::path> entries;

  // `command_line`, then the colon list in GAMUT_PLUGIN_PATH, then the installation. Throws
  // gamut::Error for an entry of the first two that does not exist.
  static SearchPath standard(const std::vector<std::filesystem::path>& command_line = {});
};

// The .so files of the search path: absolute, each once, in order.
std::vector<std::filesystem::path> find_libraries(const SearchPath& path);

}  // namespace gamut::host
