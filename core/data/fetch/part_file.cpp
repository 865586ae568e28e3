// POSIX writes with fault points; notes as JSON beside the part.
#include "data/fetch/part_file.h"

#include <fcntl.h>
#include <gamut/error.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "data/fetch/transfer.h"
#include "files/fault.h"
#include "files/file.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;

fs::path with_ending(fs::path path, const char* ending) {
  path += ending;
  return path;
}

}  // namespace

PartFile::PartFile(const fs::path& target, const std::string& digest)
    : path_(with_ending(target, ".part")),
      notes_(with_ending(target, ".part.json")),
      digest_(digest) {
  files::ignore_size_signal();
  descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) files::fail("create", path_, errno);
  read_notes();
  take_digest();
}

PartFile::~PartFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  if (bytes_ > 0) return;
  unlink(path_.c_str());  // nothing came
  unlink(notes_.c_str());
}

void PartFile::read_notes() {
  std::ifstream file(notes_);
  const auto notes = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!notes.is_object()) return;  // none, or cut short by a crash
  url_ = notes.value("url", "");
  validator_ = notes.value("validator", "");
  total_ = notes.value("bytes", int64_t{-1});
}

void PartFile::write_notes() const {
  const std::string text =
      nlohmann::json{{"url", url_}, {"validator", validator_}, {"bytes", total_}}.dump() + "\n";
  files::AtomicFile file(notes_);
  file.file().write(text.data(), text.size());
  file.commit();
}

void PartFile::take_digest() {
  std::vector<char> piece(size_t{1} << 20);
  for (;;) {
    const ssize_t got = read(descriptor_, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) files::fail("read", path_, errno);
    if (got == 0) return;
    digest_.update(piece.data(), static_cast<size_t>(got));
    bytes_ += got;
  }
}

void PartFile::keep_only_of(const std::string& url, bool pinned) {
  if (bytes_ == 0) return;
  if (url == url_ && (pinned || !validator_.empty())) return;
  restart(url, "", -1);
}

void PartFile::restart(const std::string& url, const std::string& validator, int64_t total) {
  restarted_ = restarted_ || bytes_ > 0;
  if (ftruncate(descriptor_, 0) != 0) files::fail("empty", path_, errno);
  digest_.reset();
  bytes_ = 0;
  url_ = url, validator_ = validator, total_ = total;
  write_notes();  // before the first byte: a part never belongs to other notes
}

void PartFile::append(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const int fault = files::fault("file.write");
    const size_t piece = fault == files::kShortWrite ? (bytes + 1) / 2 : bytes;
    ssize_t done = -1;
    if (fault > 0) {
      errno = fault;
    } else {
      done = pwrite(descriptor_, next, piece, bytes_);
    }
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) files::fail("write", path_, done == 0 ? ENOSPC : errno);
    digest_.update(next, static_cast<size_t>(done));
    next += done, bytes_ += done, bytes -= static_cast<size_t>(done);
  }
}

std::string PartFile::finish() {
  if (fsync(descriptor_) != 0) files::fail("flush", path_, errno);
  const int closed = close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) files::fail("close", path_, errno);
  return digest_.finish();
}

void forget_part(const fs::path& target) {
  std::error_code ignored;
  fs::remove(with_ending(target, ".part"), ignored);
  fs::remove(with_ending(target, ".part.json"), ignored);
}

}  // namespace gamut::data
