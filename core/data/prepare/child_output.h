// What another program writes to its standard output, as it comes.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace gamut::data {

class ChildOutput {
 public:
  // Starts the program, without a shell. Throws gamut::Error where it cannot be started.
  ChildOutput(const std::filesystem::path& program, const std::vector<std::string>& arguments);
  // Ends a child that still runs.
  ~ChildOutput();
  ChildOutput(const ChildOutput&) = delete;
  ChildOutput& operator=(const ChildOutput&) = delete;

  // Up to `bytes` bytes; fewer only at the end of the output.
  size_t read(char* to, size_t bytes);
  // Waits for the end of the child. Throws gamut::Error with what it wrote to its standard error
  // when it did not end well.
  void finish();

 private:
  std::string name_;
  pid_t child_ = -1;
  int output_ = -1, errors_ = -1;
};

}  // namespace gamut::data
