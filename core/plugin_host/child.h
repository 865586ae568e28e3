// Runs code that may crash in a child process and says how it ended.
#pragma once

#include <functional>
#include <string>

namespace gamut::host {

// What the child is doing, in memory that outlives it.
class LastOperation {
 public:
  LastOperation();
  LastOperation(const LastOperation&) = delete;
  LastOperation& operator=(const LastOperation&) = delete;
  ~LastOperation();
  void set(const std::string& operation);
  std::string get() const;

 private:
  char* text_;
};

struct ChildResult {
  int exit_code = 1;    // what the body returned; 1 when it did not end by itself
  std::string problem;  // "" or a sentence: the signal or the timeout, and the last operation
};

// Forks; the child runs `body` and exits with what it returns. To be called while the process has
// one thread: the child inherits no others. An exception in the child is printed and gives 1.
ChildResult run_in_child(const std::function<int(LastOperation&)>& body, int timeout_seconds);

}  // namespace gamut::host
