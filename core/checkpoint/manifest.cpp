// The manifest's JSON and its checks.
#include "checkpoint/manifest.h"

#include <gamut/error.h>

#include <nlohmann/json.hpp>

#include "checkpoint/json_text.h"

namespace gamut::checkpoint {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kFormat = "gamut.checkpoint";
constexpr const char* kOwnHash = "manifest_sha256";

// Of everything but the hash itself, in nlohmann's canonical form: sorted keys, no spaces.
std::string own_hash(json manifest) {
  manifest.erase(kOwnHash);
  const std::string text = manifest.dump();
  return files::sha256_hex(text.data(), text.size());
}

// Names are joined to the folder's path, so a hostile manifest must not lead out of it.
void check_name(const std::string& name, const fs::path& path) {
  const bool plain = !name.empty() && name != "." && name != ".." && name.find('/') == name.npos &&
                     name.find('\0') == name.npos;
  GAMUT_CHECK(plain, path.string(), " is damaged: `", name, "` is no name of a file in its folder");
}

Manifest from_json(const json& document, const fs::path& path) {
  GAMUT_CHECK(document.at("format") == kFormat, path.string(), " is no manifest of a checkpoint");
  const int version = document.at("version").get<int>();
  GAMUT_CHECK(version == kManifestVersion, path.string(), " is of format version ", version,
              "; this program reads version ", kManifestVersion);
  GAMUT_CHECK(document.at(kOwnHash) == own_hash(document), path.string(),
              " is damaged: its content does not match its own hash");
  Manifest manifest;
  manifest.step = document.at("step").get<int64_t>();
  manifest.milestone = document.at("milestone").get<bool>();
  manifest.versions = document.at("versions").get<std::map<std::string, std::string>>();
  for (const auto& [name, file] : document.at("files").items()) {
    check_name(name, path);
    manifest.files[name] = {file.at("bytes").get<uint64_t>(), file.at("sha256").get<std::string>(),
                            file.at("xxh3").get<std::string>()};
  }
  return manifest;
}

void check_size(const fs::path& path, uint64_t bytes) {
  std::error_code error;
  const uint64_t found = fs::file_size(path, error);
  GAMUT_CHECK(!error, path.string(), " is missing or unreadable: ", error.message());
  GAMUT_CHECK(found == bytes, path.string(), " is damaged: it has ", found, " bytes instead of ",
              bytes);
}

}  // namespace

uint64_t Manifest::bytes() const {
  uint64_t total = 0;
  for (const auto& [name, digest] : files) total += digest.bytes;
  return total;
}

std::string manifest_text(const Manifest& manifest) {
  json document = {{"format", kFormat},
                   {"version", kManifestVersion},
                   {"step", manifest.step},
                   {"milestone", manifest.milestone},
                   {"versions", manifest.versions},
                   {"files", json::object()}};
  for (const auto& [name, digest] : manifest.files) {
    document["files"][name] = {
        {"bytes", digest.bytes}, {"sha256", digest.sha256}, {"xxh3", digest.xxh3}};
  }
  document[kOwnHash] = own_hash(document);
  return document.dump(2) + "\n";
}

Manifest read_manifest(const fs::path& folder, int64_t step) {
  const fs::path path = folder / kManifestName;
  std::error_code error;
  GAMUT_CHECK(fs::exists(path, error), folder.string(), " has no ", kManifestName,
              ", so it is no complete checkpoint");
  const files::MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  Manifest manifest;
  try {
    manifest = from_json(parse_json(text, path.string()), path);
  } catch (const json::exception& wrong) {
    const std::string words = wrong.what();
    throw Error(c10::str(path.string(), " is damaged: ", words.substr(words.find("] ") + 2)));
  }
  GAMUT_CHECK(manifest.step == step, path.string(), " is of step ", manifest.step,
              ", and its folder says ", step);
  for (const auto& [name, digest] : manifest.files) check_size(folder / name, digest.bytes);
  return manifest;
}

void verify_file(const files::MappedFile& file, const fs::path& path, const files::Digest& expected,
                 Verify verify) {
  GAMUT_CHECK(file.size() == expected.bytes, path.string(), " is damaged: it has ", file.size(),
              " bytes instead of ", expected.bytes);
  GAMUT_CHECK(files::xxh3_hex(file.data(), file.size()) == expected.xxh3, path.string(),
              " is damaged: its bytes do not match the XXH3 of the manifest");
  if (verify == Verify::fast) return;
  GAMUT_CHECK(files::sha256_hex(file.data(), file.size()) == expected.sha256, path.string(),
              " was changed: its bytes do not match the SHA-256 of the manifest");
}

}  // namespace gamut::checkpoint
