// libarchive reads; files are written by hand, so that nothing of an archive but names and bytes
// reaches the disk.
#include "data/fetch/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <gamut/error.h>
#include <locale.h>  // NOLINT(modernize-deprecated-headers): newlocale is not in <clocale>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "data/fetch/transfer.h"
#include "files/fault.h"
#include "files/file.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBlock = size_t{1} << 20;

// An archive that reaches for more than its folder: nothing of it is kept.
struct Hostile : Error {
  Hostile(const std::string& archive, const std::string& entry, const char* why)
      : Error(c10::str(archive, " holds `", entry, "`, ", why,
                       "; nothing of such an archive is kept")) {}
};

// Names in archives are UTF-8, whatever the locale of the process.
class Utf8Names {
 public:
  Utf8Names() : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (locale_) before_ = uselocale(locale_);
  }
  ~Utf8Names() {
    if (!locale_) return;
    uselocale(before_);
    freelocale(locale_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t locale_, before_ = nullptr;
};

class Unpacking {
 public:
  Unpacking(const fs::path& archive, fs::path into, const UnpackOptions& options)
      : name_(archive.string()),
        into_(std::move(into)),
        options_(options),
        archive_(archive_read_new()) {
    archive_read_support_filter_all(archive_);
    archive_read_support_format_zip_seekable(archive_);
    archive_read_support_format_tar(archive_);
    all_ = static_cast<int64_t>(fs::file_size(archive));
    check(archive_read_open_filename(archive_, archive.c_str(), kBlock), "open");
  }
  ~Unpacking() { archive_read_free(archive_); }
  Unpacking(const Unpacking&) = delete;
  Unpacking& operator=(const Unpacking&) = delete;

  void run() {
    archive_entry* entry = nullptr;
    int64_t entries = 0;
    for (;; ++entries) {
      tell();
      const int code = archive_read_next_header(archive_, &entry);
      if (code == ARCHIVE_EOF) break;
      check(code, "read");
      take(entry);
    }
    GAMUT_CHECK(entries > 0, name_, " is an empty archive");
  }

 private:
  // Warnings (times or owners that cannot be told) do not matter here.
  void check(int code, const char* what) {
    if (code == ARCHIVE_OK || code == ARCHIVE_WARN) return;
    const char* why = archive_error_string(archive_);
    throw Error(
        c10::str("cannot ", what, " the archive ", name_, ": ", why ? why : "it is damaged"));
  }

  void tell() const {
    if (options_.stop && options_.stop()) throw_interrupted();
    if (options_.progress) options_.progress(archive_filter_bytes(archive_, -1), all_);
  }

  fs::path place_of(archive_entry* entry) {
    const char* text = archive_entry_pathname(entry);
    GAMUT_CHECK(text && *text, name_, " holds an entry without a name that can be read");
    const fs::path path = fs::path(text);
    const bool climbs =
        std::any_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
    if (!path.is_relative() || climbs) {
      throw Hostile(name_, text, "which would lie outside of the folder");
    }
    return into_ / path;
  }

  void take(archive_entry* entry) {
    const fs::path path = place_of(entry);
    const auto type = archive_entry_filetype(entry);
    if ((type != AE_IFREG && type != AE_IFDIR) || archive_entry_hardlink(entry)) {
      throw Hostile(name_, archive_entry_pathname(entry), "which is neither a file nor a folder");
    }
    if (type == AE_IFDIR) {
      fs::create_directories(path);
    } else if (!is_whole(path, entry)) {
      fs::create_directories(path.parent_path());
      write_file(path, entry);
    }
  }

  // Of an unpacking that was broken off. A file gets its time when it is whole.
  static bool is_whole(const fs::path& path, archive_entry* entry) {
    struct stat status{};
    return stat(path.c_str(), &status) == 0 && archive_entry_size_is_set(entry) &&
           status.st_size == archive_entry_size(entry) && archive_entry_mtime_is_set(entry) &&
           status.st_mtim.tv_sec == archive_entry_mtime(entry);
  }

  void write_file(const fs::path& path, archive_entry* entry) {
    const int descriptor =
        open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor < 0) files::fail("create", path, errno);
    try {
      copy(descriptor, path);
    } catch (...) {
      close(descriptor);
      throw;
    }
    if (archive_entry_mtime_is_set(entry)) {
      const timespec time{archive_entry_mtime(entry), 0};
      const timespec times[] = {time, time};
      futimens(descriptor, times);
    }
    if (close(descriptor) != 0) files::fail("close", path, errno);
  }

  void copy(int descriptor, const fs::path& path) {
    const void* data = nullptr;
    size_t bytes = 0;
    la_int64_t offset = 0;
    for (;;) {
      const int code = archive_read_data_block(archive_, &data, &bytes, &offset);
      if (code == ARCHIVE_EOF) return;
      check(code, "read");
      tell();
      for (size_t done = 0; done < bytes;) {
        if (const int fault = files::fault("file.write"); fault > 0)
          files::fail("write", path, fault);
        const ssize_t now = pwrite(descriptor, static_cast<const char*>(data) + done, bytes - done,
                                   offset + static_cast<int64_t>(done));
        if (now < 0 && errno == EINTR) continue;
        if (now <= 0) files::fail("write", path, now == 0 ? ENOSPC : errno);
        done += static_cast<size_t>(now);
      }
    }
  }

  std::string name_;
  fs::path into_;
  const UnpackOptions& options_;
  archive* archive_;
  int64_t all_ = 0;
};

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void check_free(const std::vector<std::string>& names, const fs::path& folder,
                const fs::path& archive) {
  for (const auto& name : names) {
    GAMUT_CHECK(!fs::exists(fs::symlink_status(folder / name)), (folder / name).string(),
                " is there already, and ", archive.filename().string(),
                " holds another one; move it away, then call the same command again");
  }
}

}  // namespace

std::vector<std::string> unpack(const fs::path& archive, const fs::path& folder,
                                const UnpackOptions& options) {
  files::ignore_size_signal();
  const Utf8Names utf8;
  const std::string name = archive.filename().string();
  const fs::path temporary = folder / ("." + name + ".unpack");
  const fs::path moving = folder / ("." + name + ".moving");  // all is unpacked, renames have begun
  if (!fs::exists(moving)) {
    fs::create_directories(temporary);
    try {
      Unpacking(archive, temporary, options).run();
    } catch (const Hostile&) {
      fs::remove_all(temporary);
      throw;
    }
    check_free(names_in(temporary), folder, archive);
    fs::rename(temporary, moving);
  }
  // After a call that was broken off between renames, these are the names that were left to it.
  const std::vector<std::string> names = names_in(moving);
  for (const auto& each : names) fs::rename(moving / each, folder / each);
  fs::remove(moving);
  files::sync_folder(folder);
  return names;
}

}  // namespace gamut::data
