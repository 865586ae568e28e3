// metrics.jsonl: every metric of a run, one JSON object a line.
//
// A line has `step` and numbers, booleans or texts. Doubles are written in the shortest form that
// reads back to the same bits; a value that is not finite is the string "nan", "inf" or "-inf",
// since JSON has no such numbers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "telemetry/append_file.h"

namespace gamut::telemetry {

using MetricValue = std::variant<bool, int64_t, double, std::string>;
using MetricFields = std::vector<std::pair<std::string, MetricValue>>;

// One line without its newline: step first, then the fields in the order given.
std::string metrics_line(int64_t step, const MetricFields& fields);

class MetricsWriter {
 public:
  // Appends to the file. With `resume_step`, lines of later steps and a torn last line go first, so
  // that the file becomes that of an unbroken run. Write a step's lines before its checkpoint.
  explicit MetricsWriter(const std::string& path, std::optional<int64_t> resume_step = {});

  void write(int64_t step, const MetricFields& fields);
  void sync() { file_.sync(); }

 private:
  AppendFile file_;
};

// The file's numbers by name, and its lines that carry an `event`.
struct MetricsHistory {
  struct Series {
    std::vector<int64_t> steps;
    std::vector<double> values;
  };
  struct Event {
    int64_t step;
    std::string name, message;
  };
  std::map<std::string, Series> series;
  std::vector<Event> events;
  int64_t bad_lines = 0;  // that are no JSON object with a step: torn by a crash
};

MetricsHistory read_metrics(const std::string& path);

}  // namespace gamut::telemetry
