// Saving: stage, hash, manifest, rename, prune. Loading: verify everything, else the step before.
#include "checkpoint/checkpoint.h"

#include <gamut/version.h>

#include <algorithm>

#include "checkpoint/json_text.h"
#include "checkpoint/steps.h"

namespace gamut::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kStateName = "state.json";
constexpr const char* kTensorsEnding = ".safetensors";

void check_request(const SaveRequest& request) {
  GAMUT_CHECK(request.step >= 0, "the step must not be negative, got ", request.step);
  GAMUT_CHECK(request.keep >= 0, "keep must be the number of steps to keep, or 0 for all, got ",
              request.keep);
  GAMUT_CHECK(!request.files.empty(), "there are no files to save");
  for (const auto& [name, tensors] : request.files) {
    const bool plain = !name.empty() && name[0] != '.' && name.find('/') == name.npos &&
                       name.find('\0') == name.npos;
    GAMUT_CHECK(plain, "`", name, "` cannot be the name of a file of a checkpoint");
  }
}

void make_directory(const fs::path& directory) {
  std::error_code error;
  if (!fs::create_directories(directory, error) && error) {
    files::fail("create the folder", directory, error.value());
  }
  files::sync_folder(directory.parent_path());
}

files::Digest write_text(const fs::path& path, const std::string& text) {
  files::OutputFile file(path);
  file.reserve(text.size());
  file.write(text.data(), text.size());
  return file.finish();
}

std::string state_text(const json& state) {
  try {
    return state.dump(1) + "\n";
  } catch (const json::type_error&) {
    throw Error("the state holds a string that is not valid UTF-8");
  }
}

Manifest write_files(const fs::path& folder, const SaveRequest& request) {
  Manifest manifest;
  manifest.step = request.step;
  manifest.milestone = request.milestone;
  manifest.versions = {{"libtorch", GAMUT_LIBTORCH_VERSION}};
  for (const auto& [name, tensors] : request.files) {
    const fs::path path = folder / (name + kTensorsEnding);
    files::OutputFile file(path);
    write_safetensors(file, path, tensors, {{"format", "pt"}});
    manifest.files[path.filename()] = file.finish();
  }
  manifest.files[kStateName] = write_text(folder / kStateName, state_text(request.state));
  return manifest;
}

// Makes room for the new step under its name: a good one is never overwritten.
void clear_name(const fs::path& path, int64_t step) {
  if (!fs::exists(fs::symlink_status(path))) return;
  bool good = true;
  try {
    load_checkpoint({path, std::nullopt, Verify::fast, Loading::map});
  } catch (const Error&) {
    good = false;
  }
  GAMUT_CHECK(!good, path.string(),
              " is a good checkpoint already and is never overwritten; go on ",
              "from the newest step, or move it away");
  set_aside(path, "damaged");
}

// Old steps go, one by one from the oldest; what cannot be removed is a warning, because the new
// step stands.
void prune(const SaveRequest& request, std::vector<std::string>& warnings) {
  if (request.keep == 0) return;
  std::vector<CheckpointInfo> ordinary;
  for (auto& info : list_checkpoints(request.directory)) {
    if (info.damage.empty() && !info.milestone && info.step != request.step) {
      ordinary.push_back(std::move(info));
    }
  }
  const auto others = static_cast<size_t>(request.keep) - (request.milestone ? 0 : 1);
  for (size_t i = 0; i + others < ordinary.size(); ++i) {
    try {
      remove_step(ordinary[i].path);
    } catch (const Error& error) {
      warnings.push_back(error.what());
    }
  }
}

Saved save(const SaveRequest& request) {
  files::pass_fault("checkpoint.begin", request.directory);
  check_request(request);
  make_directory(request.directory);
  const FolderLock lock(request.directory);
  Saved saved;
  saved.path = request.directory / step_name(request.step);
  saved.warnings = sweep(request.directory);
  clear_name(saved.path, request.step);

  StagingFolder staging(request.directory, request.step);
  const Manifest manifest = write_files(staging.path(), request);
  files::pass_fault("checkpoint.manifest", staging.path());
  write_text(staging.path() / kManifestName, manifest_text(manifest));
  staging.commit(saved.path);
  prune(request, saved.warnings);
  files::pass_fault("checkpoint.done", saved.path);
  return saved;
}

// How an error message ends: what there still is.
std::string last_good(const fs::path& directory) {
  std::string words = "; there is no earlier one";
  for (const auto& info : list_checkpoints(directory)) {
    if (info.damage.empty()) words = c10::str("; step ", info.step, " is still there");
  }
  return words;
}

Checkpoint load_step(const fs::path& folder, int64_t step, const LoadRequest& request) {
  Checkpoint result;
  result.step = step;
  result.path = folder;
  result.manifest = read_manifest(folder, step);
  bool has_state = false;
  for (const auto& [name, digest] : result.manifest.files) {
    const fs::path path = folder / name;
    const auto file = std::make_shared<const files::MappedFile>(path);
    verify_file(*file, path, digest, request.verify);
    if (name == kStateName) {
      const std::string_view text(reinterpret_cast<const char*>(file->data()), file->size());
      result.state = parse_json(text, path.string());
      has_state = true;
    } else if (path.extension() == kTensorsEnding) {
      result.files[path.stem()] = read_safetensors(file, path, request.loading);
    }
  }
  GAMUT_CHECK(has_state, folder.string(), " is no complete checkpoint: it has no ", kStateName);
  return result;
}

std::string steps_in_words(const std::vector<CheckpointInfo>& steps) {
  std::string words;
  for (const auto& info : steps) words += c10::str(words.empty() ? "" : ", ", info.step);
  return words;
}

Checkpoint load_newest(const std::vector<CheckpointInfo>& steps, const LoadRequest& request) {
  std::vector<std::string> notes;
  for (auto info = steps.rbegin(); info != steps.rend(); ++info) {
    try {
      Checkpoint result = load_step(info->path, info->step, request);
      for (auto& note : notes) note += c10::str("; going on from step ", result.step);
      result.notes = std::move(notes);
      return result;
    } catch (const Error& error) {
      notes.push_back(
          c10::str("the checkpoint of step ", info->step, " cannot be used: ", error.what()));
    }
  }
  std::string all;
  for (const auto& note : notes) all += c10::str(all.empty() ? "" : "; ", note);
  throw Error(c10::str("none of the checkpoints can be used: ", all));
}

// The folder of steps that a path means.
fs::path directory_of(const fs::path& path) {
  std::error_code ignored;
  const fs::path inner = path / "checkpoints";
  return fs::is_directory(inner, ignored) ? inner : path;
}

// The path without a trailing slash, so that it has a last name.
fs::path trimmed(const fs::path& path) {
  return path.has_filename() || !path.has_parent_path() ? path : path.parent_path();
}

}  // namespace

Saved save_checkpoint(const SaveRequest& request) {
  try {
    return save(request);
  } catch (const Error& error) {
    throw Error(c10::str("the checkpoint of step ", request.step, " was not saved: ", error.what(),
                         last_good(request.directory)));
  }
}

std::vector<CheckpointInfo> list_checkpoints(const fs::path& directory) {
  std::vector<CheckpointInfo> steps;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const auto step = parse_step_name(entry->path().filename());
    if (!step) continue;
    CheckpointInfo info;
    info.step = *step;
    info.path = entry->path();
    try {
      const Manifest manifest = read_manifest(info.path, info.step);
      info.milestone = manifest.milestone;
      info.bytes = manifest.bytes();
    } catch (const Error& damage) {
      info.damage = damage.what();
    }
    steps.push_back(std::move(info));
  }
  std::sort(steps.begin(), steps.end(),
            [](const auto& a, const auto& b) { return a.step < b.step; });
  return steps;
}

Checkpoint load_checkpoint(const LoadRequest& request) {
  const fs::path path = trimmed(request.path);
  std::error_code ignored;
  GAMUT_CHECK(fs::is_directory(path, ignored), "there is no folder ", path.string(),
              " to load a checkpoint from");
  if (const auto named = parse_step_name(path.filename())) {
    GAMUT_CHECK(!request.step || request.step == named, path.string(), " is step ", *named,
                ", and step ", request.step.value_or(0), " was asked for");
    return load_step(path, *named, request);
  }
  const fs::path directory = directory_of(path);
  const auto steps = list_checkpoints(directory);
  GAMUT_CHECK(!steps.empty(), "there is no checkpoint in ", directory.string());
  if (!request.step) return load_newest(steps, request);
  for (const auto& info : steps) {
    if (info.step == *request.step) return load_step(info.path, info.step, request);
  }
  throw Error(c10::str("there is no checkpoint of step ", *request.step, " in ", directory.string(),
                       "; there are steps ", steps_in_words(steps)));
}

std::vector<fs::path> supersede_after(const fs::path& directory, int64_t step) {
  const FolderLock lock(directory);
  sweep(directory);  // a run that is done saves no more, so nothing else would
  std::vector<fs::path> paths;
  for (const auto& info : list_checkpoints(directory)) {
    if (info.step > step) paths.push_back(set_aside(info.path, "superseded"));
  }
  files::sync_folder(directory);
  return paths;
}

}  // namespace gamut::checkpoint
