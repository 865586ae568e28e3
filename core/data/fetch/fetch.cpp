// The loop over files, and the record of what is finished.
#include "data/fetch/fetch.h"

#include <gamut/error.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <set>

#include "data/fetch/stream_digest.h"
#include "data/fetch/transfer.h"
#include "data/fetch/unpack.h"
#include "files/file.h"
#include "files/lock.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

int64_t modified_ns(const fs::path& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) files::fail("read", path, errno);
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

// The record of a folder, in `.fetch.json`.
class Records {
 public:
  explicit Records(const fs::path& folder) : path_(folder / ".fetch.json") {
    std::ifstream file(path_);
    all_ = json::parse(file, nullptr, /*allow_exceptions=*/false);
    if (!all_.is_object()) all_ = json::object();  // none, or damaged: files are checked again
  }

  json find(const std::string& name) const { return all_.value(name, json()); }
  void set(const std::string& name, const json& record) {
    all_[name] = record;
    const std::string text = all_.dump(2) + "\n";
    files::AtomicFile file(path_);
    file.file().write(text.data(), text.size());
    file.commit();
  }

 private:
  fs::path path_;
  json all_;
};

void check_files(const std::vector<RemoteFile>& files) {
  std::set<std::string> names;
  for (const auto& file : files) {
    const fs::path name = fs::path(file.name);
    const bool climbs =
        std::any_of(name.begin(), name.end(), [](const fs::path& part) { return part == ".."; });
    GAMUT_CHECK(!file.name.empty() && name.is_relative() && !climbs && name.has_filename(),
                "a file to fetch needs a name below the folder, and `", file.name, "` is none");
    GAMUT_CHECK(names.insert(file.name).second, "two files to fetch are called `", file.name, "`");
    GAMUT_CHECK(file.url.rfind("http://", 0) == 0 || file.url.rfind("https://", 0) == 0,
                "only http and https are fetched, not ", file.url);
    if (!file.digest.empty()) NamedDigest{file.digest};
  }
}

class Fetcher {
 public:
  Fetcher(const std::vector<RemoteFile>& files, const FetchOptions& options)
      : files_(files), options_(options), records_(options.folder) {
    state_.files = static_cast<int64_t>(files.size());
    for (const auto& file : files) sizes_.push_back(file.bytes >= 0 ? file.bytes : file.about);
  }

  json run() {
    json made = json::object();
    for (size_t i = 0; i < files_.size(); ++i) {
      const RemoteFile& file = files_[i];
      size_ = &sizes_[i];
      state_.name = file.name;
      json record = recorded(file);
      if (record.is_null()) record = obtain(file);
      if (file.unpack && !record.contains("unpacked")) record = unpack_file(file, record);
      ++state_.files_done;
      *size_ = record.value("bytes", int64_t{0});
      before_ += *size_;
      tell("fetching", 0);
      made[file.name] = record;
    }
    return made;
  }

 private:
  fs::path path_of(const RemoteFile& file) const { return options_.folder / file.name; }

  void tell(const char* what, int64_t bytes_of_this) {
    if (!options_.progress) return;
    state_.what = what;
    state_.bytes_done = before_ + bytes_of_this;
    state_.bytes = 0;
    for (const int64_t size : sizes_) {
      state_.bytes = size < 0 || state_.bytes < 0 ? -1 : state_.bytes + size;
    }
    options_.progress(state_);
  }

  // What the record says when it still holds, else null.
  json recorded(const RemoteFile& file) const {
    const json record = records_.find(file.name);
    if (!record.is_object() || record.value("url", "") != file.url) return {};
    const std::string digest = record.value("digest", "");
    if (!file.digest.empty() && digest != normal(file.digest)) return {};
    if (record.contains("unpacked") && all_there(record["unpacked"])) return record;
    const fs::path path = path_of(file);
    if (!fs::is_regular_file(path)) return {};
    const bool same = fs::file_size(path) == record.value("bytes", uint64_t{0}) &&
                      modified_ns(path) == record.value("modified_ns", int64_t{0});
    if (!same) return {};
    json without = record;
    without.erase("unpacked");  // something of it is gone: it is unpacked again
    return without;
  }

  static std::string normal(const std::string& digest) {
    const NamedDigest named(digest);
    return named.kind + ":" + named.digits;
  }

  bool all_there(const json& names) const {
    return std::all_of(names.begin(), names.end(), [&](const json& name) {
      return fs::exists(options_.folder / name.get<std::string>());
    });
  }

  json obtain(const RemoteFile& file) {
    const fs::path path = path_of(file);
    fs::create_directories(path.parent_path());
    const int64_t room = std::max<int64_t>(file.bytes, 0) + file.unpacked_bytes - part_bytes(path);
    if (file.unpack) check_room(options_.folder, room, file.name + ", unpacked beside itself,");
    if (fs::exists(path)) return adopt(file, path);
    std::optional<NamedDigest> wanted;
    if (!file.digest.empty()) wanted.emplace(file.digest);
    Transferred got = transfer_file(file, path, wanted);
    if (wanted && got.digest != wanted->digits && got.continued) {
      note(file.name +
           ": what an earlier call left of it does not fit; it is fetched from its "
           "beginning");
      forget_part(path);
      got = transfer_file(file, path, wanted);
    }
    if (wanted && got.digest != wanted->digits) set_aside(file, path, *wanted, got);
    fs::rename(got.part, path);
    forget_part(path);
    files::sync_folder(path.parent_path());
    return note_done(file, path, (wanted ? wanted->kind : "sha256") + ":" + got.digest);
  }

  static int64_t part_bytes(fs::path path) {
    if (!fs::exists(path)) path += ".part";
    std::error_code none;
    const auto bytes = fs::file_size(path, none);
    return none ? 0 : static_cast<int64_t>(bytes);
  }

  Transferred transfer_file(const RemoteFile& file, const fs::path& path,
                            const std::optional<NamedDigest>& wanted) {
    TransferOptions options;
    options.retries = options_.retries;
    options.wait = options_.wait;
    options.stall = options_.stall;
    options.bytes = file.bytes;
    options.pinned = wanted.has_value();
    if (wanted) options.digest = wanted->kind;
    options.stop = options_.stop;
    options.note = [&](const std::string& text) { note(file.name + ": " + text); };
    int64_t first = -1;
    const int64_t fetched_before = state_.bytes_fetched;
    options.progress = [&](int64_t there, int64_t total) {
      if (first < 0 || there < first) first = there;
      state_.bytes_fetched = fetched_before + there - first;
      if (total >= 0) *size_ = total;
      tell("fetching", there);
    };
    return transfer(file.url, path, options);
  }

  [[noreturn]] static void set_aside(const RemoteFile& file, const fs::path& path,
                                     const NamedDigest& wanted, const Transferred& got) {
    fs::path aside = path;
    aside += ".wrong";
    fs::rename(got.part, aside);
    forget_part(path);
    throw Error(c10::str(file.url, ": the ", wanted.kind, " of what came is ", got.digest,
                         ", and its publisher says ", wanted.digits, ". The ", got.bytes,
                         " bytes are kept as ", aside.string(),
                         ". Either they were damaged on the way, and calling the same command "
                         "again mends that, or the server has another file by now"));
  }

  // A file that this folder's record does not know: right by its checksum, or not at all.
  json adopt(const RemoteFile& file, const fs::path& path) {
    GAMUT_CHECK(!file.digest.empty(), path.string(),
                " is there already, and nothing says whether it is what ", file.url,
                " holds; move it away, then call the same command again");
    const NamedDigest wanted(file.digest);
    const std::string digits = digest_of(path, wanted.kind);
    GAMUT_CHECK(digits == wanted.digits, path.string(), " is there already, and its ", wanted.kind,
                " is ", digits, ", not ", wanted.digits,
                " as its publisher says; move it away, then call the same command again");
    return note_done(file, path, wanted.kind + ":" + digits);
  }

  std::string digest_of(const fs::path& path, const std::string& kind) {
    StreamDigest digest(kind);
    std::ifstream input(path, std::ios::binary);
    std::vector<char> piece(size_t{1} << 20);
    int64_t done = 0;
    while (input.read(piece.data(), static_cast<std::streamsize>(piece.size())),
           input.gcount() > 0) {
      if (options_.stop && options_.stop()) throw_interrupted();
      digest.update(piece.data(), static_cast<size_t>(input.gcount()));
      tell("checking", done += input.gcount());
    }
    GAMUT_CHECK(input.eof(), "cannot read ", path.string());
    return digest.finish();
  }

  json note_done(const RemoteFile& file, const fs::path& path, const std::string& digest) {
    const json record = {{"url", file.url},
                         {"bytes", fs::file_size(path)},
                         {"modified_ns", modified_ns(path)},
                         {"digest", digest},
                         {"pinned", !file.digest.empty()}};
    records_.set(file.name, record);
    return record;
  }

  json unpack_file(const RemoteFile& file, json record) {
    const fs::path path = path_of(file);
    UnpackOptions options;
    options.stop = options_.stop;
    options.progress = [&](int64_t read, int64_t) { tell("unpacking", read); };
    check_room(options_.folder, file.unpacked_bytes, file.name + ", unpacked,");
    record["unpacked"] = unpack(path, options_.folder, options);
    records_.set(file.name, record);
    if (!options_.keep_archives) fs::remove(path);
    return record;
  }

  void note(const std::string& text) const {
    if (options_.note) options_.note(text);
  }

  const std::vector<RemoteFile>& files_;
  const FetchOptions& options_;
  Records records_;
  FetchProgress state_;
  std::vector<int64_t> sizes_;  // of the files, -1 where not even about known
  int64_t* size_ = nullptr;     // of the file at work
  int64_t before_ = 0;          // bytes of the files that are done
};

}  // namespace

json fetch(const std::vector<RemoteFile>& files, const FetchOptions& options) {
  check_files(files);
  std::error_code failed;
  fs::create_directories(options.folder, failed);
  if (failed) files::fail("create", options.folder, failed.value());
  // Two processes would write the same part.
  const files::FileLock lock(options.folder / ".fetch.lock");
  GAMUT_CHECK(lock.held(), "another process fetches into ", options.folder.string(),
              "; wait for it, or name another folder");
  return Fetcher(files, options).run();
}

}  // namespace gamut::data
