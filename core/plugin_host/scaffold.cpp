// Fills the templates in and writes them.
#include "plugin_host/scaffold.h"

#include <cctype>
#include <fstream>

#include "gamut/error.h"
#include "plugin_host/search_path.h"
#include "text/nearest.h"

namespace gamut::host {
namespace fs = std::filesystem;
namespace {

void check_name(const std::string& name) {
  bool good = !name.empty() && name.size() <= 60 && name[0] >= 'a' && name[0] <= 'z';
  for (char c : name) good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_');
  GAMUT_CHECK(good, "`", name,
              "` cannot be the name of a plugin: lower-case letters, digits and _ ",
              "are allowed, and a letter comes first");
}

// token_shift -> TokenShift
std::string class_name(const std::string& name) {
  std::string result;
  bool upper = true;
  for (char c : name) {
    if (c != '_') result += upper ? static_cast<char>(std::toupper(c)) : c;
    upper = c == '_';
  }
  return result;
}

std::string filled_in(std::string text, const std::map<std::string, std::string>& values) {
  for (const auto& [key, value] : values) {
    const std::string mark = "@" + key + "@";
    for (size_t at = text.find(mark); at != std::string::npos;
         at = text.find(mark, at + value.size())) {
      text.replace(at, mark.size(), value);
    }
  }
  return text;
}

void write(const fs::path& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.close();
  GAMUT_CHECK(out, "cannot write `", file.string(), "`");
}

}  // namespace

fs::path write_scaffold(const std::string& kind, const std::string& name, const fs::path& into) {
  const std::vector<std::string> kinds = {"mixer", "tokenizer", "optimizer"};
  GAMUT_CHECK(std::find(kinds.begin(), kinds.end(), kind) != kinds.end(), "unknown kind `", kind,
              "` of plugin", text::did_you_mean(kind, kinds));
  check_name(name);
  const fs::path folder = (fs::absolute(into) / name).lexically_normal();
  GAMUT_CHECK(!fs::exists(folder), "`", folder.string(),
              "` is there already; choose another name, or another folder with --into");
  std::error_code error;
  fs::create_directories(folder, error);
  GAMUT_CHECK(!error, "cannot make the folder `", folder.string(), "`: ", error.message());

  const std::map<std::string, std::string> values = {
      {"NAME", name},
      {"CLASS", class_name(name)},
      {"KIND", kind},
      {"GAMUT_DIR", (installation_folder() / "lib/cmake/gamut").string()}};
  const std::pair<std::string, std::string> files[] = {{kind + ".cpp", name + ".cpp"},
                                                       {"CMakeLists.txt", "CMakeLists.txt"},
                                                       {"README.md", "README.md"},
                                                       {"train_" + kind + ".lua", "train.lua"}};
  for (const auto& [from, to] : files) {
    write(folder / to, filled_in(scaffold_files().at(from), values));
  }
  return folder;
}

}  // namespace gamut::host
