// Event and Summary messages in record framing. Field numbers are those of TensorFlow's event.proto
// and summary.proto.
#include "telemetry/events.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>

#include "gamut/error.h"
#include "telemetry/crc32c.h"
#include "telemetry/protobuf.h"
#include "telemetry/utf8.h"

namespace gamut::telemetry {
namespace {

constexpr uint32_t kEventFileVersion = 3, kEventSummary = 5, kEventSessionLog = 7;

double wall_time() {
  using Seconds = std::chrono::duration<double>;
  return Seconds(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Time, host and process make the name unique; TensorBoard looks for `tfevents` and sorts by name.
std::string file_name() {
  static std::atomic<int> counter{0};
  char host[256] = "localhost";
  ::gethostname(host, sizeof(host) - 1);
  return "events.out.tfevents." + std::to_string(static_cast<int64_t>(wall_time())) + "." + host +
         "." + std::to_string(::getpid()) + "." + std::to_string(counter++);
}

// Bucket limits 1e-12 · 1.1^n, both signs, as TensorBoard's own writers use.
const std::vector<double>& bucket_limits() {
  static const std::vector<double> limits = [] {
    std::vector<double> positive;
    for (double limit = 1e-12; limit < 1e20; limit *= 1.1) positive.push_back(limit);
    std::vector<double> all;
    for (auto it = positive.rbegin(); it != positive.rend(); ++it) all.push_back(-*it);
    all.push_back(0);
    all.insert(all.end(), positive.begin(), positive.end());
    all.push_back(std::numeric_limits<double>::max());
    return all;
  }();
  return limits;
}

std::string plugin_metadata(const std::string& plugin) {
  return Message().bytes(1, Message().bytes(1, plugin).encoded()).encoded();
}

Message encode_histogram(const std::vector<double>& values) {
  const std::vector<double>& limits = bucket_limits();
  std::vector<double> counts(limits.size(), 0.0);
  double least = 0, most = 0, total = 0, sum = 0, squares = 0;
  for (double value : values) {
    if (!std::isfinite(value)) continue;
    least = total == 0 ? value : std::min(least, value);
    most = total == 0 ? value : std::max(most, value);
    total += 1;
    sum += value;
    squares += value * value;
    counts[std::upper_bound(limits.begin(), limits.end() - 1, value) - limits.begin()] += 1;
  }
  // Empty buckets go, but for one beside each filled run, which carries its lower edge.
  std::vector<double> kept_limits, kept_counts;
  for (size_t i = 0; i < limits.size(); ++i) {
    bool edge = i + 1 < counts.size() && counts[i + 1] > 0;
    if (counts[i] == 0 && !edge) continue;
    kept_limits.push_back(limits[i]);
    kept_counts.push_back(counts[i]);
  }
  Message histogram;
  histogram.number(1, least).number(2, most).number(3, total).number(4, sum).number(5, squares);
  return histogram.packed(6, kept_limits).packed(7, kept_counts);
}

}  // namespace

EventWriter::EventWriter(const std::string& folder, std::optional<int64_t> resume_step)
    : file_(std::make_unique<AppendFile>(folder + "/" + file_name())) {
  write_event(0, kEventFileVersion, "brain.Event:2");
  if (resume_step) {
    constexpr uint64_t kSessionStart = 1;
    write_event(*resume_step + 1, kEventSessionLog, Message().varint(1, kSessionStart).encoded());
  }
}

void EventWriter::scalar(const std::string& tag, int64_t step, double value) {
  write_summary(step,
                Message().bytes(1, valid_utf8(tag)).number(2, static_cast<float>(value)).encoded());
}

void EventWriter::text(const std::string& tag, int64_t step, const std::string& markdown) {
  constexpr uint64_t kTypeString = 7;
  std::string dimension = Message().varint(1, 1).encoded();
  std::string shape = Message().bytes(2, dimension).encoded();
  Message tensor;
  tensor.varint(1, kTypeString).bytes(2, shape).bytes(8, valid_utf8(markdown));
  Message value;
  value.bytes(1, valid_utf8(tag)).bytes(8, tensor.encoded()).bytes(9, plugin_metadata("text"));
  write_summary(step, value.encoded());
}

void EventWriter::histogram(const std::string& tag, int64_t step,
                            const std::vector<double>& values) {
  std::string histogram = encode_histogram(values).encoded();
  write_summary(step, Message().bytes(1, valid_utf8(tag)).bytes(5, histogram).encoded());
}

void EventWriter::write_summary(int64_t step, const std::string& value_message) {
  write_event(step, kEventSummary, Message().bytes(1, value_message).encoded());
}

void EventWriter::write_event(int64_t step, uint32_t field, const std::string& message) {
  GAMUT_CHECK(step >= 0, "a step is not negative, as ", step, " is");
  Message event;
  event.number(1, wall_time()).varint(2, static_cast<uint64_t>(step)).bytes(field, message);
  write_record(event.encoded());
}

// length (8 bytes), its checksum, the event, its checksum.
void EventWriter::write_record(const std::string& event) {
  uint64_t length = event.size();
  std::string header(reinterpret_cast<const char*>(&length), sizeof(length));
  auto checksum = [](const std::string& data) {
    uint32_t crc = masked_crc32c(data.data(), data.size());
    return std::string(reinterpret_cast<const char*>(&crc), sizeof(crc));
  };
  file_->append(header + checksum(header) + event + checksum(event));
}

}  // namespace gamut::telemetry
