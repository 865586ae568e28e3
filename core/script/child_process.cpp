// fork and exec, pipes or pseudo-terminals for the output, and a loop that passes it on.
#include "script/child_process.h"

#include <fcntl.h>
#include <gamut/error.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <utility>

#include "files/file.h"
#include "script/plain_lines.h"
#include "script/signals.h"

namespace gamut::script {
namespace {

constexpr int kTick = 200;  // milliseconds between looks at what no descriptor tells

class Descriptor {
 public:
  explicit Descriptor(int opened = -1) : number_(opened) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { reset(); }
  void reset() {
    if (number_ >= 0) close(std::exchange(number_, -1));
  }
  int get() const { return number_; }
  bool is_open() const { return number_ >= 0; }

 private:
  int number_;
};

[[noreturn]] void cannot_start(const ChildRequest& request, int error) {
  throw Error(c10::str("cannot start ", request.program.string(), ": ", std::strerror(error)));
}

void write_all(int to, const char* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t written = write(to, data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody reads it any more; the child goes on
    data += written;
    bytes -= static_cast<size_t>(written);
  }
}

// One output of the child: its end of a pipe or pseudo-terminal, ours, and where it is passed on.
struct Stream {
  int target;
  bool is_terminal;
  Descriptor ours, childs;
  PlainLines lines;
};

Stream open_stream(int target) {
  int ends[2] = {-1, -1};
  const bool is_terminal = isatty(target) != 0;
  if (is_terminal) {
    termios raw = {};
    cfmakeraw(&raw);  // what the child writes arrives as it is; the true terminal does the rest
    if (openpty(&ends[0], &ends[1], nullptr, &raw, nullptr) != 0)
      files::fail("open", "a pseudo-terminal", errno);
    for (const int end : ends) fcntl(end, F_SETFD, FD_CLOEXEC);
  } else if (pipe2(ends, O_CLOEXEC) != 0) {
    files::fail("open", "a pipe", errno);
  }
  return {target, is_terminal, Descriptor(ends[0]), Descriptor(ends[1]), PlainLines()};
}

bool same_file(int a, int b) {
  struct stat of_a = {}, of_b = {};
  return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
         of_a.st_ino == of_b.st_ino;
}

// Standard output and error; one stream where both go to one place, so that their order stays.
std::vector<Stream> open_streams() {
  std::vector<Stream> streams;
  streams.push_back(open_stream(STDOUT_FILENO));
  if (!same_file(STDOUT_FILENO, STDERR_FILENO)) streams.push_back(open_stream(STDERR_FILENO));
  return streams;
}

// In the child, between fork and exec: only what is safe in a signal handler.
struct Setup {
  pid_t parent;
  int input, output, errors, keep_open, failure;
  const char* program;
  char* const* words;
  const sigset_t* mask;

  [[noreturn]] void run() const {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1);  // it died before the line above
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    std::signal(SIGPIPE, SIG_IGN);  // so that it can checkpoint when nobody reads it any more
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    if (keep_open >= 0) fcntl(keep_open, F_SETFD, 0);
    sigprocmask(SIG_SETMASK, mask, nullptr);
    execv(program, words);
    const int error = errno;
    write_all(failure, reinterpret_cast<const char*>(&error), sizeof error);
    _exit(127);
  }
};

// The child's exec says through a pipe that it failed; the pipe closes unread when it did not.
int failure_of(int pipe) {
  int error = 0;
  ssize_t got = 0;
  while ((got = read(pipe, &error, sizeof error)) < 0 && errno == EINTR) {
  }
  return got == sizeof error ? error : 0;
}

pid_t start(const ChildRequest& request, const std::vector<Stream>& streams) {
  std::vector<char*> words;
  for (const auto& word : request.words) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  int failure[2] = {-1, -1};
  if (pipe2(failure, O_CLOEXEC) != 0) cannot_start(request, errno);
  Descriptor failed(failure[0]), tells(failure[1]);
  const Descriptor null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  // A signal waits until it is known whom to send it on to.
  sigset_t stops, before;
  sigemptyset(&stops);
  sigaddset(&stops, SIGINT);
  sigaddset(&stops, SIGTERM);
  sigaddset(&stops, SIGHUP);
  sigprocmask(SIG_BLOCK, &stops, &before);
  const Setup setup{getpid(),
                    null.get(),
                    streams.front().childs.get(),
                    streams.back().childs.get(),
                    request.keep_open,
                    tells.get(),
                    request.program.c_str(),
                    words.data(),
                    &before};
  const pid_t child = fork();
  if (child == 0) setup.run();
  const int error = errno;
  if (child > 0) forward_signals(child);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) cannot_start(request, error);
  tells.reset();
  if (const int reason = failure_of(failed.get())) {
    forward_signals(0);
    waitpid(child, nullptr, 0);
    cannot_start(request, reason);
  }
  return child;
}

// Whether the child has ended; it stays to be collected.
bool has_ended(pid_t child, bool wait) {
  siginfo_t info = {};
  const int how = WEXITED | WNOWAIT | (wait ? 0 : WNOHANG);
  while (waitid(P_PID, static_cast<id_t>(child), &info, how) != 0) {
    GAMUT_CHECK(errno == EINTR, "cannot wait for a child process: ", std::strerror(errno));
  }
  return info.si_pid == child;
}

class Output {
 public:
  Output(std::vector<Stream> streams, const std::filesystem::path& log)
      : streams_(std::move(streams)) {
    for (Stream& stream : streams_) stream.childs.reset();
    if (log.empty()) return;
    log_ = Descriptor(open(log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666));
    if (!log_.is_open()) files::fail("open", log, errno);
  }

  // Until the child has ended, or closed its output; what it left running may hold that open.
  void pass_on(pid_t child) {
    bool ended = false;
    while (any_open() && !ended) {
      follow_size();
      ended = !pass_what_comes(kTick) && has_ended(child, false);
    }
    while (any_open() && pass_what_comes(0)) {
    }
    for (Stream& stream : streams_) keep(stream.lines.rest());
  }

 private:
  bool any_open() const {
    for (const Stream& stream : streams_) {
      if (stream.ours.is_open()) return true;
    }
    return false;
  }

  // False when nothing came within that time.
  bool pass_what_comes(int milliseconds) {
    std::vector<pollfd> waiting;
    for (const Stream& stream : streams_) waiting.push_back({stream.ours.get(), POLLIN, 0});
    if (poll(waiting.data(), waiting.size(), milliseconds) <= 0) return false;
    for (size_t i = 0; i < streams_.size(); ++i) {
      if (waiting[i].revents) pass_one(streams_[i]);
    }
    return true;
  }

  void pass_one(Stream& stream) {
    std::array<char, 1 << 16> buffer;
    const ssize_t got = read(stream.ours.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) return;
    if (got <= 0) return stream.ours.reset();  // a pseudo-terminal ends with EIO
    const std::string_view text(buffer.data(), static_cast<size_t>(got));
    write_all(stream.target, text.data(), text.size());
    keep(stream.lines.add(text));
  }

  // The log is a help; a full disk is for the run itself to tell.
  void keep(const std::string& lines) const {
    if (log_.is_open()) write_all(log_.get(), lines.data(), lines.size());
  }

  // The user may widen the window.
  void follow_size() const {
    for (const Stream& stream : streams_) {
      winsize size = {};
      if (!stream.is_terminal || ioctl(stream.target, TIOCGWINSZ, &size) != 0) continue;
      ioctl(stream.ours.get(), TIOCSWINSZ, &size);
    }
  }

  std::vector<Stream> streams_;
  Descriptor log_;
};

}  // namespace

ChildEnd run_child(const ChildRequest& request) {
  const auto began = std::chrono::steady_clock::now();
  std::vector<Stream> streams = open_streams();
  const pid_t child = start(request, streams);
  Output(std::move(streams), request.log).pass_on(child);
  has_ended(child, true);
  forward_signals(0);  // before the system may give the number to another process
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  using Seconds = std::chrono::duration<double>;
  const double seconds = Seconds(std::chrono::steady_clock::now() - began).count();
  if (WIFSIGNALED(status)) return {0, WTERMSIG(status), seconds};
  return {WEXITSTATUS(status), 0, seconds};
}

}  // namespace gamut::script
