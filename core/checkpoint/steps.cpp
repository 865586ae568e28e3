// Everything unfinished ends in `.tmp`, and one rename makes it finished.
#include "checkpoint/steps.h"

#include <fcntl.h>
#include <gamut/error.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>

#include "files/file.h"
#include "text/affix.h"

namespace gamut::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTemporary = ".tmp";

bool is_leftover(const std::string& name) {
  return text::begins_with(name, "step_") && fs::path(name).extension() == kTemporary;
}

void remove_tree(const fs::path& path) {
  files::pass_fault("checkpoint.remove", path);
  std::error_code error;
  fs::remove_all(path, error);
  GAMUT_CHECK(!error, "cannot remove ", path.string(), ": ", error.message());
}

void rename_folder(const fs::path& from, const fs::path& to, const char* what) {
  if (rename(from.c_str(), to.c_str()) != 0) files::fail(what, from, errno);
}

}  // namespace

std::string step_name(int64_t step) {
  char text[32];
  std::snprintf(text, sizeof text, "step_%06lld", static_cast<long long>(step));
  return text;
}

std::optional<int64_t> parse_step_name(const std::string& name) {
  if (!text::begins_with(name, "step_")) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto result = std::from_chars(name.data() + 5, end, step);
  // One spelling a step: the way back must give the same name.
  if (result.ec != std::errc() || result.ptr != end || step < 0 || step_name(step) != name) {
    return std::nullopt;
  }
  return step;
}

FolderLock::FolderLock(const fs::path& directory) {
  descriptor_ = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor_ < 0) files::fail("open", directory, errno);
  if (flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  close(descriptor_);
  throw Error(c10::str("another process is saving checkpoints to ", directory.string(),
                       "; stop it, or give this run a folder of its own"));
}

FolderLock::~FolderLock() {
  close(descriptor_);
}

StagingFolder::StagingFolder(const fs::path& directory, int64_t step)
    : path_(directory / (step_name(step) + kTemporary)) {
  if (mkdir(path_.c_str(), 0777) != 0) files::fail("create", path_, errno);
}

StagingFolder::~StagingFolder() {
  if (committed_) return;
  std::error_code ignored;  // the next save sweeps what is left
  fs::remove_all(path_, ignored);
}

void StagingFolder::commit(const fs::path& final_path) {
  files::sync_folder(path_);
  files::pass_fault("checkpoint.rename", path_);
  rename_folder(path_, final_path, "put in place");
  committed_ = true;
  files::pass_fault("checkpoint.renamed", final_path);
  files::sync_folder(final_path.parent_path());
}

fs::path set_aside(const fs::path& step_folder, const std::string& why) {
  for (int number = 1;; ++number) {
    fs::path aside = step_folder;
    aside += c10::str(".", why, "-", number);
    if (fs::exists(fs::symlink_status(aside))) continue;
    rename_folder(step_folder, aside, "set aside");
    return aside;
  }
}

void remove_step(const fs::path& step_folder) {
  files::pass_fault("checkpoint.prune", step_folder);
  fs::path nameless = step_folder;
  nameless += std::string(".pruned") + kTemporary;
  rename_folder(step_folder, nameless, "remove");
  remove_tree(nameless);
}

std::vector<std::string> sweep(const fs::path& directory) {
  std::vector<std::string> failures;
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (is_leftover(entry.path().filename())) leftovers.push_back(entry.path());
  }
  for (const auto& path : leftovers) {
    try {
      remove_tree(path);
    } catch (const Error& error) {
      failures.push_back(error.what());
    }
  }
  return failures;
}

}  // namespace gamut::checkpoint
