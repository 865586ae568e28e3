// Nothing is asked of a file but its name, so that 100,000 of them take a moment.
#include "data/prepare/walk.h"

#include <gamut/error.h>

#include <algorithm>
#include <cctype>
#include <set>

namespace gamut::data {
namespace {

namespace fs = std::filesystem;

// ".wav"; of a packed file with the ending before, ".jsonl.gz".
std::string ending_of(const fs::path& path) {
  std::string ending = path.extension().string();
  if (ending == ".gz") ending = path.stem().extension().string() + ending;
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return ending;
}

}  // namespace

std::vector<std::string> walk_files(const fs::path& folder,
                                    const std::vector<std::string>& endings) {
  std::error_code error;
  GAMUT_CHECK(fs::is_directory(folder, error), "there is no folder ", folder.string());
  const std::set<std::string> wanted(endings.begin(), endings.end());
  const std::string prefix = (folder / "").string();
  std::vector<std::string> names;
  fs::recursive_directory_iterator walk(folder, fs::directory_options::skip_permission_denied);
  for (const auto& entry : walk) {
    if (entry.path().filename().string()[0] == '.') {
      if (entry.is_directory(error)) walk.disable_recursion_pending();
      continue;
    }
    if (!wanted.count(ending_of(entry.path())) || entry.is_directory(error)) continue;
    names.push_back(entry.path().string().substr(prefix.size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace gamut::data
