// One file over HTTP into `NAME.part`, continued where an earlier transfer was broken off.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace gamut::data {

struct TransferOptions {
  int retries = 6;                // of attempts in a row that bring nothing new
  double wait = 1;                // seconds before the first retry; doubled for each further one
  double stall = 60;              // seconds without a byte after which a transfer counts as broken
  int64_t bytes = -1;             // what the publisher says the file has; -1: not known
  std::string digest = "sha256";  // kind of the checksum that is taken
  bool pinned = false;            // its value is known, so an end that does not fit is found out
  // Called a few times a second: bytes that are there, and all of them (-1: not known).
  std::function<void(int64_t, int64_t)> progress;
  std::function<bool()> stop;                    // asked as often whether to end
  std::function<void(const std::string&)> note;  // sentences for the user
};

struct Transferred {
  std::filesystem::path part;  // the whole file, flushed to disk
  int64_t bytes = 0;
  std::string digest;      // of all of it
  bool continued = false;  // some of it was there before
};

// What ends a fetch that the user broke off: what is there is kept.
[[noreturn]] void throw_interrupted();

// Only http and https, also after redirects (ten at most; from https to https alone); proxies as
// libcurl's environment variables say. A part that is there is continued by Range and If-Range with
// the server's ETag or date, kept in `NAME.part.json`: a file that changed on the server is begun
// again. Broken transfers, time-outs and the statuses 408, 425, 429 and 5xx are tried again; the
// part stays whatever happens. Throws gamut::Error: other statuses, a size that is not the
// publisher's, a disk that has no room for the file, or no longer.
Transferred transfer(const std::string& url, const std::filesystem::path& target,
                     const TransferOptions& options);

// Throws gamut::Error where the disk of `folder` has not that many bytes left; `what` begins the
// sentence: "<what> takes 100 bytes, ...".
void check_room(const std::filesystem::path& folder, int64_t bytes, const std::string& what);

// Removes the part and what is known of it.
void forget_part(const std::filesystem::path& target);

}  // namespace gamut::data
