// Files of a data set from their public homes into a folder: each once, checked, unpacked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gamut::data {

struct RemoteFile {
  std::string url;
  std::string name;    // below the folder, with `/`
  int64_t bytes = -1;  // as its publisher says; -1: not known
  int64_t about = -1;  // a guess, for the time left alone, where `bytes` is not known
  std::string digest;  // "sha256:...", "sha1:..." or "md5:..." as its publisher says; "": not known
  bool unpack = false;  // an archive, whose contents are wanted
  int64_t unpacked_bytes =
      0;  // that they take, where it is known: room for them is asked for first
};

struct FetchProgress {
  std::string name;  // of the file at work
  std::string what;  // "fetching", "checking" or "unpacking"
  int64_t files = 0, files_done = 0;
  int64_t bytes = -1;         // of all files; -1: one of them is not known
  int64_t bytes_done = 0;     // that are there
  int64_t bytes_fetched = 0;  // by this process, for the rate
};

struct FetchOptions {
  std::filesystem::path folder;  // made when it is not there
  int retries = 6;               // as TransferOptions
  double wait = 1, stall = 60;
  bool keep_archives = true;  // or remove them once they are unpacked
  std::function<void(const FetchProgress&)> progress;
  std::function<bool()> stop;
  std::function<void(const std::string&)> note;
};

// Fetches what the folder lacks. `.fetch.json` there records what is finished: URL, size, time,
// checksum. A file that is recorded and has the size and time of then is not read again; one that
// is not recorded is taken when its checksum is right. Returns the records of these files. A
// checksum that is wrong sets the file aside as `NAME.wrong` and throws, as does everything that
// transfer and unpack throw for, and another process at work in the folder.
nlohmann::json fetch(const std::vector<RemoteFile>& files, const FetchOptions& options);

}  // namespace gamut::data
