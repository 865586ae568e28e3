// flock, which belongs to the open file and so ends with the process.
#include "files/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "files/file.h"

namespace gamut::files {

FileLock::FileLock(const std::filesystem::path& path, Busy busy)
    : descriptor_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) fail("open", path, errno);
  const int how = busy == Busy::wait ? LOCK_EX : LOCK_EX | LOCK_NB;
  const bool refused = flock(descriptor_, how) != 0 && (errno == EWOULDBLOCK || errno == EINTR);
  held_ = !refused;
}

FileLock::~FileLock() {
  close(descriptor_);
}

}  // namespace gamut::files
