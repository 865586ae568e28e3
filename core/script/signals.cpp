#include "script/signals.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <string_view>

namespace gamut::script {

namespace detail {
std::atomic<bool> raise_pending{false};
}

namespace {

constexpr int64_t kSameWish = 500'000'000;  // nanoseconds

std::atomic<int> noted{0};
std::atomic<int64_t> noted_at{0};  // 0: not yet
std::atomic<pid_t> child{0};
lua_State* hooked = nullptr;
OnSignal mode = OnSignal::note;

void stop_hook(lua_State* L, lua_Debug*) {
  detail::raise_interrupt(L);
}

int64_t now() {
  timespec time = {};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

// A terminal takes nothing while another signal waits: the parent's, sent on, comes beside the
// terminal's own.
void say(std::string_view text) {
  const int before = errno;
  while (!text.empty()) {
    const auto written = write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno != EINTR) break;  // there may be nobody to tell
    if (written > 0) text.remove_prefix(static_cast<size_t>(written));
  }
  errno = before;
}

// Everything here is safe in a handler; lua_sethook is meant to be called from one.
void on_signal(int signal) {
  const int64_t at = now();
  const int wish = signal == SIGHUP ? SIGTERM : signal;
  int64_t first = 0;
  const bool again = !noted_at.compare_exchange_strong(first, at);
  if (!again) noted = wish;
  if (again && at - first < kSameWish) return;
  const pid_t sent_on = child;
  if (sent_on > 0) kill(sent_on, wish);
  if (again) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
    return;
  }
  if (mode == OnSignal::note) {
    if (sent_on > 0) return;  // the child says it
    say("\ngamut: stopping after this step; once more stops at once\n");
    return;
  }
  detail::raise_pending = true;
  if (hooked) {
    lua_sethook(hooked, stop_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
  }
}

}  // namespace

void detail::raise_interrupt(lua_State* L) {
  raise_pending = false;
  lua_sethook(L, nullptr, 0, 0);
  if (hooked) lua_sethook(hooked, nullptr, 0, 0);
  lua_pushliteral(L, "interrupted");
  lua_error(L);
  std::abort();  // not reached: lua_error throws
}

void handle_signals(lua_State* L, OnSignal how) {
  hooked = L;
  mode = how;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_NODEFER;  // so that the second press gets through while the first is handled
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction hangup = {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // ignored under nohup
}

void forward_signals(pid_t to) {
  child = to;
}

const char* interrupted() {
  switch (noted.load()) {
    case 0:
      return nullptr;
    case SIGTERM:
      return "SIGTERM";
    default:
      return "SIGINT";
  }
}

void clear_interrupt() {
  noted = 0;
  noted_at = 0;
  detail::raise_pending = false;
  if (hooked) lua_sethook(hooked, nullptr, 0, 0);
}

int interrupt_exit_code() {
  const int signal = noted.load();
  return signal ? 128 + signal : 0;
}

}  // namespace gamut::script
