// posix_spawn and pipes; the child's errors go to a file without a name, which cannot fill up.
#include "data/prepare/child_output.h"

#include <fcntl.h>
#include <gamut/error.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

namespace gamut::data {
namespace {

void close_once(int& descriptor) {
  if (descriptor >= 0) close(std::exchange(descriptor, -1));
}

std::string text_of(int descriptor) {
  std::string text(2000, '\0');
  const ssize_t got = pread(descriptor, text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

ChildOutput::ChildOutput(const std::filesystem::path& program,
                         const std::vector<std::string>& arguments)
    : name_(program.filename().string()) {
  int ends[2] = {-1, -1};
  errors_ = memfd_create("errors", MFD_CLOEXEC);
  if (errors_ < 0 || pipe2(ends, O_CLOEXEC) != 0) {
    const int error = errno;
    close_once(errors_);
    throw Error(c10::str("cannot start ", name_, ": ", std::strerror(error)));
  }
  output_ = ends[0];
  std::vector<char*> words = {const_cast<char*>(program.c_str())};
  for (const auto& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors_, STDERR_FILENO);
  // In a process group of its own: Ctrl-C is for the program that reads, which ends the child.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  const int error =
      posix_spawn(&child_, program.c_str(), &actions, &attributes, words.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error == 0) return;
  child_ = -1;
  close_once(output_);
  close_once(errors_);
  throw Error(c10::str("cannot start ", program.string(), ": ", std::strerror(error)));
}

ChildOutput::~ChildOutput() {
  close_once(output_);
  if (child_ > 0) {
    kill(child_, SIGKILL);
    while (waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  close_once(errors_);
}

size_t ChildOutput::read(char* to, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t now = ::read(output_, to + done, bytes - done);
    if (now < 0 && errno == EINTR) continue;
    GAMUT_CHECK(now >= 0, "cannot read what ", name_, " writes: ", std::strerror(errno));
    if (now == 0) break;
    done += static_cast<size_t>(now);
  }
  return done;
}

void ChildOutput::finish() {
  if (child_ <= 0) return;
  int status = 0;
  while (waitpid(child_, &status, 0) < 0 && errno == EINTR) {
  }
  child_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  const std::string said = text_of(errors_);
  if (!said.empty()) throw Error(said);
  throw Error(WIFSIGNALED(status) ? c10::str(name_, " was ended by signal ", WTERMSIG(status))
                                  : c10::str(name_, " ended with status ", WEXITSTATUS(status)));
}

}  // namespace gamut::data
