// POSIX calls, each with its failure handled.
#include "files/file.h"

#include <fcntl.h>
#include <gamut/error.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "files/fault.h"

namespace gamut::files {
namespace {

namespace fs = std::filesystem;

// Fails as the fault point says, or not.
int injected(const char* point) {
  int error = fault(point);
  if (error <= 0) return 0;
  errno = error;
  return -1;
}

const char* advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space or name another folder";
    case EFBIG:
      return "; raise the limit on the size of files (ulimit -f)";
    case EROFS:
    case EACCES:
    case EPERM:
      return "; make the folder writable or name another one";
    default:
      return "";
  }
}

}  // namespace

void ignore_size_signal() {
  static const bool done = [] {
    struct sigaction current{};
    sigaction(SIGXFSZ, nullptr, &current);
    if (current.sa_handler == SIG_DFL) std::signal(SIGXFSZ, SIG_IGN);
    return true;
  }();
  static_cast<void>(done);
}

void fail(const std::string& what, const fs::path& path, int error) {
  throw Error(
      c10::str("cannot ", what, " ", path.string(), ": ", std::strerror(error), advice(error)));
}

void pass_fault(const char* point, const fs::path& path) {
  if (int error = fault(point); error > 0) fail("work on", path, error);
}

OutputFile::OutputFile(fs::path path) : path_(std::move(path)) {
  ignore_size_signal();
  if (injected("file.open") == 0) {
    descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  }
  if (descriptor_ < 0) fail("create", path_, errno);
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(path_.c_str());
}

void OutputFile::reserve(uint64_t bytes) {
  if (bytes == 0) return;
  int result = injected("file.reserve");
  if (result == 0)
    result = fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes));
  // File systems without fallocate say so; anything but "no room" is left for write to find.
  if (result != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
    fail(c10::str("reserve ", bytes, " bytes for"), path_, errno);
  }
}

void OutputFile::write(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    size_t piece = std::min(bytes, kPieceBytes);
    int forced = fault("file.write");
    if (forced == kShortWrite) piece = (piece + 1) / 2;
    if (forced > 0) fail("write", path_, forced);
    ssize_t written = ::write(descriptor_, next, piece);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", path_, errno);
    // Nothing written and no reason given: a loop would never end.
    if (written == 0) fail("write", path_, ENOSPC);
    hasher_.update(next, static_cast<size_t>(written));
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

Digest OutputFile::finish() {
  if (injected("file.fsync") != 0 || fsync(descriptor_) != 0) fail("flush", path_, errno);
  // After a failed close the descriptor is gone, so the destructor must not close it again.
  int descriptor = std::exchange(descriptor_, -1);
  bool failed = injected("file.close") != 0;
  int error = errno;
  if (close(descriptor) != 0) failed = true, error = errno;
  if (failed) {
    unlink(path_.c_str());
    fail("close", path_, error);
  }
  return hasher_.finish();
}

AtomicFile::AtomicFile(const fs::path& path)
    : path_(path),
      temporary_(path.parent_path() /
                 c10::str(".", path.filename().string(), ".", getpid(), ".tmp")) {
  // A leftover of a killed process that had the same id.
  unlink(temporary_.c_str());
  file_ = std::make_unique<OutputFile>(temporary_);
}

Digest AtomicFile::commit() {
  Digest digest = file_->finish();
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    int error = errno;
    unlink(temporary_.c_str());
    fail("put in place", path_, error);
  }
  sync_folder(path_.parent_path());
  return digest;
}

void sync_folder(const fs::path& folder) {
  const fs::path& path = folder.empty() ? fs::path(".") : folder;
  int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail("open", path, errno);
  int result = injected("file.folder");
  if (result == 0) result = fsync(descriptor);
  int error = errno;
  close(descriptor);
  // Some network file systems cannot flush a folder and say EINVAL.
  if (result != 0 && error != EINVAL) fail("flush the folder", path, error);
}

MappedFile::MappedFile(const fs::path& path) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail("open", path, errno);
  struct stat status{};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(descriptor);
    throw Error(c10::str("cannot read ", path.string(), ": it is no regular file"));
  }
  size_ = static_cast<size_t>(status.st_size);
  void* address = nullptr;
  if (size_ > 0) {
    address =
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0);
  }
  int error = errno;
  close(descriptor);
  if (address == MAP_FAILED) fail("map", path, error);
  data_ = static_cast<uint8_t*>(address);
}

MappedFile::~MappedFile() {
  if (data_) munmap(data_, size_);
}

}  // namespace gamut::files
