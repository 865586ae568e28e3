// Appending with POSIX calls, for control over what a full disk leaves behind.
#include "telemetry/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "files/file.h"
#include "gamut/error.h"

namespace gamut::telemetry {
namespace {

// Retries what a signal interrupted.
ssize_t write_once(int descriptor, std::string_view data) {
  ssize_t written;
  do {
    written = ::write(descriptor, data.data(), data.size());
  } while (written < 0 && errno == EINTR);
  return written;
}

}  // namespace

AppendFile::AppendFile(std::string path) : path_(std::move(path)) {
  files::ignore_size_signal();  // a limit on file sizes is an error, not a death
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  GAMUT_CHECK(descriptor_ >= 0, "cannot open `", path_, "` to append: ", std::strerror(errno));
}

AppendFile::~AppendFile() {
  ::close(descriptor_);
}

void AppendFile::append(std::string_view record) {
  struct stat before = {};
  GAMUT_CHECK(::fstat(descriptor_, &before) == 0, "cannot stat `", path_,
              "`: ", std::strerror(errno));
  size_t done = 0;
  while (done < record.size()) {
    ssize_t written = write_once(descriptor_, record.substr(done));
    if (written <= 0) {
      int reason = written < 0 ? errno : ENOSPC;
      // Best effort: the write's own failure is what the user must hear of.
      if (::ftruncate(descriptor_, before.st_size) != 0) errno = reason;
      throw Error("cannot write to `" + path_ + "`: " + std::strerror(reason));
    }
    done += static_cast<size_t>(written);
  }
}

void AppendFile::truncate(int64_t size) {
  GAMUT_CHECK(::ftruncate(descriptor_, size) == 0, "cannot shorten `", path_,
              "`: ", std::strerror(errno));
}

void AppendFile::sync() {
  GAMUT_CHECK(::fsync(descriptor_) == 0, "cannot flush `", path_, "`: ", std::strerror(errno));
}

}  // namespace gamut::telemetry
