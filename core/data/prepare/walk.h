// The files of a raw data set.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gamut::data {

// Names, relative to `folder` and with `/`, of the files below it that end in one of `endings`
// (".wav", ".txt.gz", in small letters; capitals in names count as such), sorted by bytes. Hidden
// files and folders are passed over, links to folders not followed. Throws gamut::Error where there
// is no such folder.
std::vector<std::string> walk_files(const std::filesystem::path& folder,
                                    const std::vector<std::string>& endings);

}  // namespace gamut::data
