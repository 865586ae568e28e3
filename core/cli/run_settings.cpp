// Finds the script, and the run that is to be resumed.
#include "cli/run_settings.h"

#include <charconv>
#include <cstdlib>
#include <system_error>

#include "gamut/error.h"

namespace gamut::cli {
namespace {

namespace fs = std::filesystem;

fs::path find_script(const std::string& target) {
  const fs::path path = target;
  GAMUT_CHECK(fs::exists(path), "there is no script or folder ", target);
  if (!fs::is_directory(path)) return path;
  const fs::path script = path / "train.lua";
  GAMUT_CHECK(fs::exists(script), "the folder ", target,
              " holds no train.lua; name the script itself, such as ", target, "/study.lua");
  return script;
}

std::string study_name(const fs::path& script) {
  if (script.stem() != "train") return script.stem().string();
  return fs::absolute(script).parent_path().filename().string();
}

fs::path find_runs_root() {
  const char* named = std::getenv("GAMUT_RUNS");
  return named && *named ? named : "runs";
}

bool has_record(const fs::path& folder) {
  return fs::exists(folder / "run.json");
}

// A run that has lost its run.json is still one: going on with it says what is missing.
bool is_run(const fs::path& folder) {
  return has_record(folder) || fs::exists(folder / "checkpoints");
}

// The run of the study that was written to last.
fs::path newest_run(const fs::path& runs, const std::string& study) {
  std::optional<fs::path> newest;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(runs / study, none)) {
    if (!has_record(entry.path())) continue;
    const auto written = [](const fs::path& run) { return fs::last_write_time(run / "run.json"); };
    if (!newest || written(entry.path()) > written(*newest)) newest = entry.path();
  }
  GAMUT_CHECK(newest, "there is no run of ", study, " to resume under ", (runs / study).string(),
              "; name the run folder: --resume FOLDER");
  return *newest;
}

// The number in step_000123, if the folder is called so.
std::optional<int64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  constexpr std::string_view kPrefix = "step_";
  if (name.compare(0, kPrefix.size(), kPrefix) != 0) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return step;
}

void resolve_resume(const RunRequest& request, RunSettings& settings) {
  const std::string wanted = request.resume->empty() ? "latest" : *request.resume;
  if (wanted == "latest") {
    // With a named folder the same command starts a run and continues it.
    if (settings.run_dir && !is_run(*settings.run_dir)) return;
    settings.resume =
        settings.run_dir ? *settings.run_dir : newest_run(settings.runs_root, settings.study);
    return;
  }
  fs::path folder = fs::path(wanted).lexically_normal();
  if (folder.filename().empty()) folder = folder.parent_path();
  GAMUT_CHECK(fs::is_directory(folder), "there is no run folder or checkpoint ", wanted,
              " to resume");
  settings.resume_step = step_of(folder);
  if (settings.resume_step) folder = fs::absolute(folder).parent_path().parent_path();
  GAMUT_CHECK(is_run(folder), folder.string(),
              " is not a run folder: it has no run.json and no checkpoints");
  settings.resume = folder;
}

}  // namespace

RunSettings resolve(const RunRequest& request) {
  RunSettings settings;
  settings.script = find_script(request.target);
  settings.study = study_name(settings.script);
  settings.runs_root = find_runs_root();
  settings.config_files = request.config_files;
  settings.overrides = request.overrides;
  settings.accept = request.accept;
  settings.dry_run = request.dry_run;
  if (!request.run_dir.empty()) settings.run_dir = request.run_dir;
  if (request.resume) resolve_resume(request, settings);
  // A resumed run keeps its own configuration; what the command line adds must be accepted.
  if (settings.resume && fs::exists(*settings.resume / "config.yaml")) {
    settings.config_files.insert(settings.config_files.begin(),
                                 (*settings.resume / "config.yaml").string());
  }
  return settings;
}

}  // namespace gamut::cli
