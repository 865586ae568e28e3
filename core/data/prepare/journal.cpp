// POSIX calls; every length is compared with what is there before it is believed.
#include "data/prepare/journal.h"

#include <fcntl.h>
#include <gamut/error.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "files/fault.h"
#include "files/file.h"
#include "files/hash.h"

namespace gamut::data {
namespace {

constexpr std::string_view kMagic = "GAMUTJR1";
constexpr uint64_t kFrontBytes = 24;
constexpr uint64_t kSumBytes = 32;

std::string front_of(uint64_t head_bytes, uint64_t payload_bytes) {
  std::string front(kMagic);
  front.append(reinterpret_cast<const char*>(&head_bytes), sizeof head_bytes);
  front.append(reinterpret_cast<const char*>(&payload_bytes), sizeof payload_bytes);
  return front;
}

uint64_t record_bytes(const Journal::Place& place) {
  return kFrontBytes + place.head_bytes + place.payload_bytes + kSumBytes;
}

// The record that begins at `offset` of `file`, if it is whole.
std::optional<Journal::Place> whole_record(std::string_view file, uint64_t offset) {
  const std::string_view rest = file.substr(offset);
  if (rest.size() < kFrontBytes + kSumBytes || rest.substr(0, kMagic.size()) != kMagic) {
    return std::nullopt;
  }
  Journal::Place place;
  place.offset = offset;
  std::memcpy(&place.head_bytes, rest.data() + 8, 8);
  std::memcpy(&place.payload_bytes, rest.data() + 16, 8);
  const uint64_t room = rest.size() - kFrontBytes - kSumBytes;
  if (place.head_bytes > room || place.payload_bytes > room - place.head_bytes) return std::nullopt;
  const uint64_t body = record_bytes(place) - kSumBytes;
  if (files::xxh3_hex(rest.data(), body) != rest.substr(body, kSumBytes)) return std::nullopt;
  return place;
}

}  // namespace

Journal::Journal(std::filesystem::path path,
                 const std::function<void(std::string_view, const Place&)>& visit)
    : path_(std::move(path)) {
  files::ignore_size_signal();
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) files::fail("open", path_, errno);
  const files::MappedFile mapped(path_);
  const std::string_view file(reinterpret_cast<const char*>(mapped.data()), mapped.size());
  while (const auto place = whole_record(file, end_)) {
    visit(file.substr(end_ + kFrontBytes, place->head_bytes), *place);
    end_ += record_bytes(*place);
  }
  dropped_ = file.size() - end_;
  if (dropped_ > 0 && ftruncate(descriptor_, static_cast<off_t>(end_)) != 0) {
    files::fail("shorten", path_, errno);
  }
}

Journal::~Journal() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Journal::Place Journal::append(std::string_view head, std::string_view payload) {
  std::string record = front_of(head.size(), payload.size());
  record.reserve(record.size() + head.size() + payload.size() + kSumBytes);
  record.append(head).append(payload);
  record += files::xxh3_hex(record.data(), record.size());
  files::pass_fault("prepare.record", path_);
  write_record(record);
  files::pass_fault("prepare.recorded", path_);
  const Place place{end_, head.size(), payload.size()};
  end_ += record.size();
  return place;
}

void Journal::write_record(std::string_view record) {
  uint64_t offset = end_;
  while (!record.empty()) {
    const ssize_t written =
        pwrite(descriptor_, record.data(), record.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = written < 0 ? errno : ENOSPC;
      // Best effort: what is left of the record would be found torn at the next start.
      static_cast<void>(!ftruncate(descriptor_, static_cast<off_t>(end_)));
      files::fail("write", path_, error);
    }
    record.remove_prefix(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
}

void Journal::sync() {
  files::pass_fault("prepare.sync", path_);
  if (fdatasync(descriptor_) != 0) files::fail("flush", path_, errno);
}

Journal::Record Journal::read(const Place& place) const {
  std::string bytes(record_bytes(place), '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = pread(descriptor_, bytes.data() + done, bytes.size() - done,
                              static_cast<off_t>(place.offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) files::fail("read", path_, errno);
    if (got == 0) break;  // shorter than it was: the checksum below is not there
    done += static_cast<size_t>(got);
  }
  GAMUT_CHECK(done == bytes.size() && whole_record(bytes, 0), path_.string(),
              " is damaged at byte ", place.offset,
              ": what was written there reads differently now; check the disk, then run the same "
              "command again");
  return {bytes.substr(kFrontBytes, place.head_bytes),
          bytes.substr(kFrontBytes + place.head_bytes, place.payload_bytes)};
}

}  // namespace gamut::data
