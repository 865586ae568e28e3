// The manifest of a step folder: which files belong to it, their sizes and hashes. A folder without
// a manifest that holds is no checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "files/file.h"
#include "files/hash.h"

namespace gamut::checkpoint {

constexpr const char* kManifestName = "manifest.json";
constexpr int kManifestVersion = 1;

struct Manifest {
  int64_t step = 0;
  bool milestone = false;  // never pruned
  std::map<std::string, files::Digest> files;
  std::map<std::string, std::string> versions;  // of the program and the libraries that wrote it

  uint64_t bytes() const;
};

enum class Verify {
  fast,  // sizes and XXH3 of every file
  full,  // SHA-256 too
};

// The manifest as text, with a hash of itself.
std::string manifest_text(const Manifest& manifest);

// Reads a step folder's manifest, and checks its own hash, that its step is `step`, and that all
// its files are there in their size. Throws gamut::Error that says what is damaged.
Manifest read_manifest(const std::filesystem::path& folder, int64_t step);

// Compares a file of the step with what the manifest says about it; throws gamut::Error.
void verify_file(const files::MappedFile& file, const std::filesystem::path& path,
                 const files::Digest& expected, Verify verify);

}  // namespace gamut::checkpoint
