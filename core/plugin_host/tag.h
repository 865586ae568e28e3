// The tag of a plugin, read from its file without opening it as a library.
//
// Files on a search path may be anything, so the reader trusts no offset or size in them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace gamut::host {

// What a plugin says about itself before any of its code runs.
struct PluginTag {
  uint32_t sdk_major = 0;
  uint32_t sdk_minor = 0;
  std::string libtorch;
  std::string abi;
  std::string kind;
  std::string name;
  std::string version;
  std::string description;
};

// The tag of the shared library at `path`; nothing when it is a sound library without one. Throws
// gamut::Error that names the file when it cannot be read, is no shared library for this machine,
// is cut short, or carries a tag that makes no sense.
std::optional<PluginTag> read_tag(const std::filesystem::path& path);

// Why this program cannot run a plugin of that tag, as a sentence with the remedy; "" when it can.
std::string why_refused(const PluginTag& tag, const std::filesystem::path& path);

}  // namespace gamut::host
