#include "script/signals.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace gamut::script {

namespace detail {
std::atomic<bool> raise_pending{false};
}

namespace {

constexpr int64_t kSameWish = 500'000'000;  // nanoseconds

std::atomic<int> noted{0};
std::atomic<int64_t> noted_at{0};
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

// Everything here is safe in a handler; lua_sethook is meant to be called from one.
void on_signal(int signal) {
  const int64_t at = now();
  const int wish = signal == SIGHUP ? SIGTERM : signal;
  int none = 0;
  const bool again = !noted.compare_exchange_strong(none, wish);
  if (!again) noted_at = at;
  if (again && at - noted_at < kSameWish) return;
  const pid_t sent_on = child;
  if (sent_on > 0) kill(sent_on, wish);
  if (again) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
    return;
  }
  if (mode == OnSignal::note) {
    if (sent_on > 0) return;  // the child says it
    constexpr char kSaid[] = "\ngamut: stopping after this step; once more stops at once\n";
    const int before = errno;
    const auto written = write(STDERR_FILENO, kSaid, sizeof kSaid - 1);
    static_cast<void>(written);  // there may be nobody to tell
    errno = before;
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
  detail::raise_pending = false;
  if (hooked) lua_sethook(hooked, nullptr, 0, 0);
}

int interrupt_exit_code() {
  const int signal = noted.load();
  return signal ? 128 + signal : 0;
}

}  // namespace gamut::script
