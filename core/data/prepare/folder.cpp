// Renames within one file system, each file flushed before.
#include "data/prepare/folder.h"

#include <gamut/error.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "files/file.h"
#include "text/affix.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;
using text::ends_with;

constexpr const char* kWork = ".prepare";
constexpr const char* kManifest = "manifest.json";

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

// What complete() gives names to; a killed one leaves such files without a manifest.
bool is_ours(const fs::path& path) {
  const std::string name = path.filename().string();
  if (name == kWork || name == "sources.jsonl" || name == "skipped.jsonl") return true;
  const bool is_shard = ends_with(name, ".bin") || ends_with(name, ".safetensors");
  return is_shard &&
         (name.find("train_") != std::string::npos || name.find("val_") != std::string::npos ||
          name.find("test_") != std::string::npos);
}

void check_is_ours(const fs::path& out) {
  const bool begun = fs::exists(out / kWork);
  for (const fs::path& file : files_in(out)) {
    GAMUT_CHECK(begun && is_ours(file), "the folder ", out.string(), " holds ",
                file.filename().string(),
                ", which is no part of a preparation; name a folder that is new or empty");
  }
}

void rename_or_fail(const fs::path& from, const fs::path& to) {
  files::pass_fault("prepare.rename", to);
  if (rename(from.c_str(), to.c_str()) != 0) files::fail("put in place", to, errno);
}

}  // namespace

PrepareFolder::PrepareFolder(fs::path out) : out_(std::move(out)), work_(out_ / kWork) {
  std::error_code failed;
  fs::create_directories(out_, failed);
  if (failed) files::fail("create", out_, failed.value());
  check_is_ours(out_);
  fs::create_directories(work_, failed);
  if (failed) files::fail("create", work_, failed.value());
  lock_.emplace(work_ / "lock");
  GAMUT_CHECK(lock_->held(), "another process is preparing data in ", out_.string(),
              "; wait for it, or name another folder");
}

fs::path PrepareFolder::new_shards() const {
  fs::remove_all(work_ / "shards");
  fs::create_directories(work_ / "shards");
  return work_ / "shards";
}

void PrepareFolder::complete(const nlohmann::json& manifest) {
  for (const fs::path& file : files_in(out_)) {
    if (file != work_ && is_ours(file))
      fs::remove(file);  // of an earlier process that came this far
  }
  const fs::path shards = work_ / "shards";
  for (const fs::path& file : files_in(shards)) rename_or_fail(file, out_ / file.filename());
  files::sync_folder(out_);
  files::pass_fault("prepare.manifest", out_);
  const std::string text = manifest.dump(2) + "\n";
  files::OutputFile file(shards / kManifest);
  file.write(text.data(), text.size());
  file.finish();
  rename_or_fail(shards / kManifest, out_ / kManifest);
  files::sync_folder(out_);
  files::pass_fault("prepare.done", out_);
  fs::remove_all(work_);
}

void remove_leftovers(const fs::path& out) {
  if (!fs::exists(out / kWork)) return;
  const files::FileLock lock(out / kWork / "lock");
  if (lock.held()) fs::remove_all(out / kWork);  // otherwise its owner does
}

}  // namespace gamut::data
