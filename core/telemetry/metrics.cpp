// Writing, cutting and reading of metrics.jsonl.
#include "telemetry/metrics.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "gamut/error.h"

namespace gamut::telemetry {
namespace {

using nlohmann::json;

json to_json(const MetricValue& value) {
  if (auto* number = std::get_if<double>(&value)) {
    if (std::isnan(*number)) return "nan";
    if (std::isinf(*number)) return *number > 0 ? "inf" : "-inf";
  }
  return std::visit([](const auto& v) { return json(v); }, value);
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// The object of a line with an integer step; a discarded value for anything else.
json parse_line(const std::string& line) {
  json object = json::parse(line, nullptr, false);
  bool good = object.is_object() && object.contains("step") && object["step"].is_number_integer();
  return good ? object : json(json::value_t::discarded);
}

std::string without_later_steps(const std::string& path, int64_t last_step) {
  std::ifstream file(path, std::ios::binary);
  GAMUT_CHECK(file, "cannot read `", path, "`: ", std::strerror(errno));
  std::string kept, line;
  while (std::getline(file, line)) {
    bool torn = file.eof();  // no newline at its end
    json object = parse_line(line);
    if (torn || object.is_discarded() || object["step"].get<int64_t>() > last_step) continue;
    kept += line + "\n";
  }
  return kept;
}

// Drops lines of later steps. Returns the path.
std::string cut_after(const std::string& path, int64_t last_step) {
  if (!std::filesystem::exists(path)) return path;
  std::string kept = without_later_steps(path, last_step);
  std::string prefix(kept.size(), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(prefix.data(), static_cast<std::streamsize>(prefix.size()));
  if (file && prefix == kept) {  // nearly always: the lines are in the order of their steps
    AppendFile(path).truncate(static_cast<int64_t>(kept.size()));
    return path;
  }
  const std::string temporary = path + ".tmp";
  std::filesystem::remove(temporary);
  AppendFile rewritten(temporary);
  rewritten.append(kept);
  rewritten.sync();
  std::filesystem::rename(temporary, path);
  return path;
}

std::optional<double> numeric(const json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

std::string text_or_empty(const json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::string metrics_line(int64_t step, const MetricFields& fields) {
  std::string line = "{\"step\":" + std::to_string(step);
  for (const auto& [name, value] : fields) line += "," + dump(name) + ":" + dump(to_json(value));
  return line + "}";
}

MetricsWriter::MetricsWriter(const std::string& path, std::optional<int64_t> resume_step)
    : file_(resume_step ? cut_after(path, *resume_step) : path) {}

void MetricsWriter::write(int64_t step, const MetricFields& fields) {
  file_.append(metrics_line(step, fields) + "\n");
}

MetricsHistory read_metrics(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  GAMUT_CHECK(file, "cannot read `", path, "`: ", std::strerror(errno));
  MetricsHistory history;
  std::string line;
  while (std::getline(file, line)) {
    json object = parse_line(line);
    if (object.is_discarded()) {
      ++history.bad_lines;
      continue;
    }
    int64_t step = object["step"].get<int64_t>();
    if (object.contains("event")) {
      history.events.push_back(
          {step, text_or_empty(object, "event"), text_or_empty(object, "message")});
      continue;
    }
    for (const auto& [name, value] : object.items()) {
      std::optional<double> number = numeric(value);
      if (!number || name == "step") continue;
      MetricsHistory::Series& series = history.series[name];
      series.steps.push_back(step);
      series.values.push_back(*number);
    }
  }
  return history;
}

}  // namespace gamut::telemetry
