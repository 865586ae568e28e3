// An archive (zip, tar, each packed by what libarchive reads) into a folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace gamut::data {

struct UnpackOptions {
  std::function<void(int64_t, int64_t)> progress;  // bytes of the archive read, and all of them
  std::function<bool()> stop;                      // asked between entries and pieces
};

// Unpacks into `.NAME.unpack` beside the result, then gives what lies at the top of the archive its
// name in `folder`; returns those names. Broken off, the next call keeps the entries that are
// whole. Throws gamut::Error: a damaged archive; an entry that would lie outside of the folder; a
// link or a device, which data sets do not need; a name that the folder has already; a full disk.
std::vector<std::string> unpack(const std::filesystem::path& archive,
                                const std::filesystem::path& folder, const UnpackOptions& options);

}  // namespace gamut::data
