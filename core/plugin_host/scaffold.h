// A new plugin, as a folder outside of the tree: what `gamut new` writes.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace gamut::host {

// Writes the folder `into`/`name`: sources, build file, README and a script that trains. Returns
// it. Throws gamut::Error for an unknown kind, a name that cannot be one (lower-case letters,
// digits and _, a letter first), or a folder that is there already.
std::filesystem::path write_scaffold(const std::string& kind, const std::string& name,
                                     const std::filesystem::path& into);

// The templates by file name, with @NAME@, @CLASS@, @KIND@ and @GAMUT_DIR@ to fill in.
const std::map<std::string, std::string>& scaffold_files();

}  // namespace gamut::host
