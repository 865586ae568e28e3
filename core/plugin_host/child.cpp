// fork, wait, and a shared page for the last operation.
#include "plugin_host/child.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>

#include "gamut/error.h"

namespace gamut::host {
namespace {

constexpr size_t kBytes = 4096;
constexpr char kEnd[] = "(end)";  // of the body; a plugin may call exit() before

int run_body(const std::function<int(LastOperation&)>& body, LastOperation& operation) {
  try {
    return body(operation);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gamut: %s\n", error.what());
  } catch (...) {
    std::fprintf(stderr, "gamut: an exception that is no std::exception escaped in: %s\n",
                 operation.get().c_str());
  }
  return 1;
}

std::string ended_by(int signal, int timeout_seconds) {
  if (signal == SIGALRM) {
    return "it did not end within " + std::to_string(timeout_seconds) + " seconds";
  }
  return std::string("it crashed: ") + strsignal(signal);
}

}  // namespace

LastOperation::LastOperation() {
  void* page = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  GAMUT_CHECK(page != MAP_FAILED, "no memory for a child process: ", std::strerror(errno));
  text_ = static_cast<char*>(page);
}

LastOperation::~LastOperation() {
  ::munmap(text_, kBytes);
}

void LastOperation::set(const std::string& operation) {
  std::snprintf(text_, kBytes, "%s", operation.c_str());
}

std::string LastOperation::get() const {
  return std::string(text_, strnlen(text_, kBytes));
}

ChildResult run_in_child(const std::function<int(LastOperation&)>& body, int timeout_seconds) {
  LastOperation operation;
  operation.set("start");
  std::fflush(nullptr);  // or the child prints what the parent has not yet
  const pid_t child = ::fork();
  GAMUT_CHECK(child >= 0, "cannot start a child process: ", std::strerror(errno));
  if (child == 0) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::alarm(static_cast<unsigned>(timeout_seconds));
    const int code = run_body(body, operation);
    operation.set(kEnd);
    std::fflush(nullptr);
    ::_exit(code);  // no destructors: the libraries of a broken plugin are still open
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    GAMUT_CHECK(errno == EINTR, "cannot wait for a child process: ", std::strerror(errno));
  }
  const std::string last = operation.get();
  if (WIFEXITED(status) && last == kEnd) return {WEXITSTATUS(status), ""};
  const std::string how = WIFEXITED(status) ? "it ended the process by itself"
                                            : ended_by(WTERMSIG(status), timeout_seconds);
  return {1, how + "; last operation: " + last};
}

}  // namespace gamut::host
