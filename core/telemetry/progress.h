// The line that tells a waiting person how training goes: redrawn in place on a terminal, plain
// lines at growing intervals elsewhere.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "telemetry/memory.h"

namespace gamut::telemetry {

// Where the progress goes and what it needs of the world; tests give their own.
struct ProgressOutput {
  std::function<void(std::string_view)> write;
  std::function<double()> clock;  // seconds
  std::function<MemoryUse()> memory;
  std::function<int()> width;  // columns of the terminal
  bool terminal = false;

  static ProgressOutput standard_error();
};

struct ProgressPlan {
  int64_t first_step = 0;     // steps done before this process began
  int64_t total_steps = 0;    // 0: unknown
  double budget_seconds = 0;  // wall-clock budget; 0: none
  double spent_seconds = 0;   // of the budget, before this process began
  std::string unit;  // what steps are, such as "MB", for work that is no training; then a bar
                     // is drawn
};

struct ProgressUpdate {
  int64_t step = 0;  // steps done
  std::optional<double> loss;
  std::optional<double> tokens_per_second;
  std::vector<std::pair<std::string, std::string>> extras;  // shown as given, after the rest
};

class Progress {
 public:
  Progress(ProgressPlan plan, ProgressOutput output);

  // Cheap when nothing is due to be shown.
  void update(const ProgressUpdate& update);
  // Prints a line of its own above the redrawn one.
  void note(const std::string& text);
  // Shows the last update and ends the redrawn line.
  void finish();

  // Seconds to the end by the pace of late, or nothing while that is unknown.
  std::optional<double> seconds_left() const;

 private:
  struct Sample {
    double time;
    int64_t step;
  };

  void record(int64_t step);
  bool is_due(int64_t step) const;
  void show();
  std::string line() const;
  std::string position() const;
  std::string bar() const;

  ProgressPlan plan_;
  ProgressOutput output_;
  double start_;
  std::deque<Sample> samples_;  // of the last minute or so, for the pace
  std::optional<ProgressUpdate> last_;
  std::optional<double> shown_at_;
  int64_t shown_step_ = -1;
  bool line_open_ = false;  // the cursor stands behind a redrawn line
};

std::string format_duration(double seconds);  // "3m 12s"
std::string format_bytes(int64_t bytes);      // "1.21 GB", decimal units
std::string format_rate(double per_second);   // "31.2k"

}  // namespace gamut::telemetry
