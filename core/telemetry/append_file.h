// A file that grows by whole records: each is one write, and a failed one leaves no torn record.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gamut::telemetry {

class AppendFile {
 public:
  // Creates the file or opens it to append.
  explicit AppendFile(std::string path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  const std::string& path() const { return path_; }

  // Throws gamut::Error with the file's name and the system's reason; the file is then as before.
  void append(std::string_view record);

  // Cuts the file to `size` bytes.
  void truncate(int64_t size);

  // Hands what was written to the disk.
  void sync();

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace gamut::telemetry
