// Another program run in the foreground: what it writes passes through to our own output and into
// a log, and a signal that reaches us reaches it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gamut::script {

struct ChildRequest {
  std::filesystem::path program;
  std::vector<std::string> words;  // what the program is called, then its arguments
  std::filesystem::path log;       // its output is appended, as plain lines; empty: to none
  int keep_open = -1;              // a descriptor that the child inherits, such as a lock's
};

struct ChildEnd {
  int exit_code = 0;  // 0 also where a signal ended it
  int signal = 0;     // that ended it; 0: none
  double seconds = 0;
};

// Starts the program without a shell and waits for its end. Where our output is a terminal, so is
// the child's. When this process dies, however it does, the child gets SIGTERM. Throws
// gamut::Error where it cannot be started.
ChildEnd run_child(const ChildRequest& request);

}  // namespace gamut::script
