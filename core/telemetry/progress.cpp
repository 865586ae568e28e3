// Rate limiting, pace and layout of the progress line.
#include "telemetry/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace gamut::telemetry {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kSampleSeconds = 0.5;
constexpr size_t kSamples = 120;

// Lines in a file: often at first, when all is new, then seldom.
double plain_interval(double elapsed) {
  if (elapsed < 20) return 2;
  if (elapsed < 300) return 10;
  return elapsed < 3600 ? 30 : 60;
}

template <class... Values>
std::string print(const char* format, Values... values) {
  char buffer[128];
  std::snprintf(buffer, sizeof(buffer), format, values...);
  return buffer;
}

// At most `width` characters, without cutting a UTF-8 sequence.
std::string clip(const std::string& text, int width) {
  int columns = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    bool starts_character = (text[i] & 0xc0) != 0x80;
    if (starts_character && ++columns > width) return text.substr(0, i);
  }
  return text;
}

int terminal_width() {
  winsize size{};
  bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

// Progress must never stop a run: a closed standard error is no error.
void write_standard_error(std::string_view text) {
  while (!text.empty()) {
    ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  auto total = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  if (total < 60) return print("%llds", total);
  if (total < 3600) return print("%lldm %02llds", total / 60, total % 60);
  if (total < 86400) return print("%lldh %02lldm", total / 3600, total / 60 % 60);
  return print("%lldd %02lldh", total / 86400, total / 3600 % 24);
}

std::string format_bytes(int64_t bytes) {
  double value = static_cast<double>(bytes);
  if (value < 1e6) return print("%.0f kB", value / 1e3);
  if (value < 1e9) return print("%.0f MB", value / 1e6);
  return print("%.2f GB", value / 1e9);
}

std::string format_rate(double per_second) {
  if (per_second < 1e3) return print(per_second < 10 ? "%.1f" : "%.0f", per_second);
  if (per_second < 1e6) return print("%.1fk", per_second / 1e3);
  return print("%.2fM", per_second / 1e6);
}

ProgressOutput ProgressOutput::standard_error() {
  ProgressOutput output;
  output.write = write_standard_error;
  output.clock = [] {
    using Seconds = std::chrono::duration<double>;
    return Seconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  output.memory = memory_use;
  output.width = terminal_width;
  const char* term = std::getenv("TERM");
  bool dumb = !term || !*term || std::strcmp(term, "dumb") == 0;
  output.terminal = ::isatty(STDERR_FILENO) && !dumb;
  return output;
}

Progress::Progress(ProgressPlan plan, ProgressOutput output)
    : plan_(std::move(plan)), output_(std::move(output)), start_(output_.clock()) {}

void Progress::update(const ProgressUpdate& update) {
  record(update.step);
  last_ = update;
  if (is_due(update.step)) show();
}

void Progress::note(const std::string& text) {
  output_.write((line_open_ ? "\r\x1b[K" : "") + text + "\n");
  line_open_ = false;
  if (output_.terminal && last_) show();
}

void Progress::finish() {
  if (last_ && shown_step_ != last_->step) show();
  if (line_open_) output_.write("\n");
  line_open_ = false;
}

std::optional<double> Progress::seconds_left() const {
  std::optional<double> left;
  if (plan_.budget_seconds > 0) {
    left = plan_.budget_seconds - plan_.spent_seconds - (output_.clock() - start_);
  }
  if (plan_.total_steps > 0 && samples_.size() >= 2) {
    const Sample& first = samples_.front();
    const Sample& last = samples_.back();
    double pace = (last.time - first.time) / static_cast<double>(last.step - first.step);
    int64_t steps = plan_.total_steps - last_->step;
    double by_steps = pace * static_cast<double>(steps);
    left = left ? std::min(*left, by_steps) : by_steps;
  }
  if (left) left = std::max(0.0, *left);
  return left;
}

// The first step pays for warming up, so the pace is measured from its end.
void Progress::record(int64_t step) {
  double now = output_.clock();
  bool late = samples_.size() < 2 || now - samples_[samples_.size() - 2].time >= kSampleSeconds;
  if (!samples_.empty() && step <= samples_.back().step) return;
  if (!late) {
    samples_.back() = {now, step};
    return;
  }
  samples_.push_back({now, step});
  if (samples_.size() > kSamples) samples_.pop_front();
}

bool Progress::is_due(int64_t step) const {
  if (!shown_at_ || (step == plan_.total_steps && shown_step_ != step)) return true;
  double now = output_.clock();
  double interval = output_.terminal ? kRedrawSeconds : plain_interval(now - start_);
  return now - *shown_at_ >= interval;
}

void Progress::show() {
  if (output_.terminal) {
    // One column stays free: a full line would wrap on some terminals.
    output_.write("\r" + clip(line(), output_.width() - 1) + "\x1b[K");
    line_open_ = true;
  } else {
    output_.write(line() + "\n");
  }
  shown_at_ = output_.clock();
  shown_step_ = last_->step;
}

// "[######--------------]  30%  12/40 MB"
std::string Progress::bar() const {
  constexpr int kCells = 20;
  const auto total = static_cast<double>(std::max<int64_t>(plan_.total_steps, 1));
  const double share = std::min(1.0, static_cast<double>(last_->step) / total);
  const auto full = static_cast<size_t>(share * kCells);
  return "[" + std::string(full, '#') + std::string(kCells - full, '-') +
         print("] %3.0f%%  ", std::floor(100 * share)) + std::to_string(last_->step) + "/" +
         std::to_string(plan_.total_steps) + " " + plan_.unit;
}

std::string Progress::position() const {
  if (!plan_.unit.empty()) return bar();
  std::string done = std::to_string(last_->step);
  if (plan_.total_steps <= 0) return "step " + done;
  std::string total = std::to_string(plan_.total_steps);
  done.insert(0, total.size() > done.size() ? total.size() - done.size() : 0, ' ');
  double share = 100.0 * static_cast<double>(last_->step) / static_cast<double>(plan_.total_steps);
  return "step " + done + "/" + total + print(" %3.0f%%", std::floor(share));
}

std::string Progress::line() const {
  std::string text = position();
  auto add = [&text](const std::string& part) { text += "  " + part; };
  if (last_->loss) add(print("loss %.4f", *last_->loss));
  if (last_->tokens_per_second) add(format_rate(*last_->tokens_per_second) + " tokens/s");
  MemoryUse memory = output_.memory();
  add(format_bytes(memory.resident) + " (peak " + format_bytes(memory.resident_peak) + ")");
  if (memory.device > 0) {
    add("GPU " + format_bytes(memory.device) + " (peak " + format_bytes(memory.device_peak) + ")");
  }
  bool ended = plan_.total_steps > 0 && last_->step >= plan_.total_steps;
  std::optional<double> left = seconds_left();
  if (ended) {
    add("in " + format_duration(output_.clock() - start_));
  } else if (left) {
    add(format_duration(*left) + " left");
  }
  for (const auto& [name, value] : last_->extras) add(name + " " + value);
  return text;
}

}  // namespace gamut::telemetry
