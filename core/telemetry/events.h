// TensorBoard event files, written by hand: the messages are a few protocol-buffer fields, and
// linking protobuf beside LibTorch's copy is a known clash.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "telemetry/append_file.h"

namespace gamut::telemetry {

class EventWriter {
 public:
  // Starts a new `events.out.tfevents.*` file in the folder. With `resume_step`, TensorBoard is
  // told to drop what earlier files hold of later steps.
  explicit EventWriter(const std::string& folder, std::optional<int64_t> resume_step = {});

  void scalar(const std::string& tag, int64_t step, double value);
  // Shown as Markdown by TensorBoard.
  void text(const std::string& tag, int64_t step, const std::string& markdown);
  // Counts of the values in TensorBoard's usual geometric buckets; values that are not finite are
  // left out.
  void histogram(const std::string& tag, int64_t step, const std::vector<double>& values);

  const std::string& path() const { return file_->path(); }
  void sync() { file_->sync(); }

 private:
  void write_event(int64_t step, uint32_t field, const std::string& message);
  void write_summary(int64_t step, const std::string& value_message);
  void write_record(const std::string& event);

  std::unique_ptr<AppendFile> file_;
};

}  // namespace gamut::telemetry
