// Builds the search path and lists the libraries on it.
#include "plugin_host/search_path.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "gamut/error.h"

namespace gamut::host {
namespace fs = std::filesystem;
namespace {

std::vector<fs::path> split_at_colons(const std::string& list) {
  std::vector<fs::path> entries;
  size_t start = 0;
  while (start <= list.size()) {
    const size_t colon = std::min(list.find(':', start), list.size());
    if (colon > start) entries.emplace_back(list.substr(start, colon - start));
    start = colon + 1;
  }
  return entries;
}

void add(const std::vector<fs::path>& from, const char* source, std::vector<fs::path>& entries) {
  for (const auto& entry : from) {
    std::error_code ignored;
    GAMUT_CHECK(fs::exists(entry, ignored), source, " names `", entry.string(),
                "`, which does not exist");
    entries.push_back(entry);
  }
}

// Unreadable folders are skipped: nothing in them can be used anyway.
std::vector<fs::path> libraries_in(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".so") found.push_back(it->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

fs::path installation_folder() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return program.parent_path().parent_path();
}

SearchPath SearchPath::standard(const std::vector<fs::path>& command_line) {
  SearchPath path;
  add(command_line, "--plugin-path", path.entries);
  if (const char* list = std::getenv("GAMUT_PLUGIN_PATH")) {
    add(split_at_colons(list), "the environment variable GAMUT_PLUGIN_PATH", path.entries);
  }
  path.entries.push_back(installation_folder() / "lib/gamut/plugins");
  return path;
}

std::vector<fs::path> find_libraries(const SearchPath& path) {
  std::vector<fs::path> found;
  std::set<fs::path> seen;
  auto add = [&](const fs::path& file) {
    std::error_code error;
    const fs::path canonical = fs::canonical(file, error);
    if (error) {
      found.push_back(fs::absolute(file));  // a dangling link: reported when it is read
    } else if (seen.insert(canonical).second) {
      found.push_back(canonical);
    }
  };
  for (const auto& entry : path.entries) {
    std::error_code ignored;
    if (fs::is_regular_file(entry, ignored)) add(entry);
    for (const char* below : {"", "mixer", "tokenizer", "optimizer"}) {
      for (const auto& file : libraries_in(entry / below)) add(file);
    }
  }
  return found;
}

}  // namespace gamut::host
